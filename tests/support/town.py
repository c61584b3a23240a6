"""Network namespaces that play a machine and the world outside it, so that nothing is done to the real one.

The machine has loopback and an uplink to `outside`; pybuild runs inside. Sockets can be opened in any namespace,
containers included, and are used by the test as if they were its own.
"""

import os
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from runner.net.bridge import within
from tests.support.command import Pybuild

MACHINE, OUTSIDE = "198.51.100.1", "198.51.100.2"
PATIENCE = 30.0
"""Seconds that a socket waits."""


@dataclass(frozen=True, slots=True)
class Place:
    """A network namespace, as a file."""

    path: str

    def connect(self, host: str, port: int, *, data: bytes = b"", timeout: float = PATIENCE) -> bytes:
        """What a TCP server says until it hangs up. Raises OSError."""
        with self._socket(socket.SOCK_STREAM, host) as line:
            line.settimeout(timeout)
            line.connect((host, port))
            if data:
                line.sendall(data)
            said = b""
            while piece := line.recv(4096):
                said += piece
            return said

    def connect_only(self, host: str, port: int, *, timeout: float = PATIENCE) -> None:
        """See that somebody listens there. Raises OSError."""
        with self._socket(socket.SOCK_STREAM, host) as line:
            line.settimeout(timeout)
            line.connect((host, port))

    def datagram(self, host: str, port: int, data: bytes) -> bytes:
        """The answer of a UDP server."""
        with self._socket(socket.SOCK_DGRAM) as line:
            line.settimeout(PATIENCE)
            line.sendto(data, (host, port))
            return line.recv(4096)

    def listen(self, host: str, port: int = 0) -> socket.socket:
        """A TCP server here."""
        server = self._socket(socket.SOCK_STREAM, host)
        server.bind((host, port))
        server.listen()
        server.settimeout(PATIENCE)
        return server

    def datagrams(self, port: int) -> socket.socket:
        """A UDP server here."""
        server = self._socket(socket.SOCK_DGRAM)
        server.bind(("0.0.0.0", port))
        server.settimeout(PATIENCE)
        return server

    def abstract(self, name: str) -> socket.socket:
        """A unix server of an abstract name, which belongs to the network namespace."""
        netns = os.open(self.path, os.O_RDONLY)
        try:
            server = within(netns, lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        finally:
            os.close(netns)
        server.bind("\0" + name)
        server.listen()
        return server

    def _socket(self, kind: int, host: str = "") -> socket.socket:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        netns = os.open(self.path, os.O_RDONLY)
        try:
            return within(netns, lambda: socket.socket(family, kind))
        finally:
            os.close(netns)

    def shell(self, line: str) -> str:
        """What a command says here."""
        words = ["nsenter", f"--net={self.path}", "sh", "-ec", line]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@dataclass(frozen=True, slots=True)
class Town:
    """A machine and what is outside."""

    machine: Place
    outside: Place
    pybuild: Pybuild

    def inside(self, container: str) -> Place:
        """The namespace of a running container."""
        return Place(f"/proc/{self.pybuild.text('inspect', '-f', '{{.State.Pid}}', container)}/ns/net")

    def interfaces(self) -> set[str]:
        """Interfaces of the machine beyond its own."""
        said = self.machine.shell("ip -o link | sed 's/^[0-9]*: //; s/[@:].*//'")
        return set(said.split()) - {"lo", "up0"}

    def tables(self) -> list[str]:
        """Tables of rules of the machine."""
        return self.machine.shell("nft list tables").splitlines()


@contextmanager
def town(root: Path) -> Iterator[Town]:
    """A machine with its outside; pybuild's store is `root`."""
    people = [subprocess.Popen(["unshare", "-n", "sleep", "infinity"]) for _ in range(2)]
    try:
        machine, outside = (Place(f"/proc/{one.pid}/ns/net") for one in people)
        mine = os.readlink("/proc/self/ns/net")
        for place in (machine, outside):
            while not _apart(place, mine):
                pass
        machine.shell(
            f"ip link add up0 type veth peer name up0 netns {people[1].pid}; ip link set lo up; ip link set up0 up; "
            f"ip address add {MACHINE}/24 dev up0; ip route add default via {OUTSIDE}; "
            "echo 0 > /proc/sys/net/ipv4/ip_forward"
        )
        outside.shell(f"ip link set lo up; ip link set up0 up; ip address add {OUTSIDE}/24 dev up0")
        command = Pybuild(root, {"DOCKER_CONFIG": str(root / "docker-config")}, ("nsenter", f"--net={machine.path}"))
        yield Town(machine, outside, command)
    finally:
        for one in people:
            one.kill()
            one.wait()


def _apart(place: Place, mine: str) -> bool:
    with suppress(FileNotFoundError):
        return os.readlink(place.path) != mine
    return False


def eight_at_once(place: Town, folder: Path) -> list[str]:
    """Addresses of eight containers; each stays until all are there, however long a machine takes to start them."""
    meeting = folder / "meeting"
    meeting.mkdir()
    meeting.chmod(0o777)
    stay = "touch /meeting/$(hostname); until [ $(ls /meeting | wc -l) = 8 ]; do sleep 0.05; done"

    def one(_: int) -> str:
        words = ("busybox", "timeout", "60", "sh", "-c", f"ip -4 -o a show eth0; {stay}")
        return place.pybuild.text("run", "--rm", "-v", f"{meeting}:/meeting", *words).split()[3]

    with ThreadPoolExecutor(8) as crew:
        return list(crew.map(one, range(8)))

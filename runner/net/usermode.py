"""A network for somebody who may not make bridges: slirp4netns(1) plays it for one network namespace.

It opens a tap interface inside and connects as an ordinary program outside. Services of this machine's loopback, which
it would show by default, stay closed. It ends with its `--exit-fd`, so with us, even if we are killed.
"""

import json
import os
import select
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from layers.quick import dataclass
from runner.errors import NetworkUnavailable
from runner.ids import read

TUN = "/dev/net/tun"
PROGRAM = "slirp4netns"
READY = 10.0
"""Seconds for the interface to be there."""
GRACE = 2.0
"""Seconds between asking the helper to end and killing it."""
PATIENCE = 10.0
"""Seconds within which it answers."""
LARGEST = 1 << 16
"""Bytes of an answer."""
INTERFACE = "tap0"
ADDRESS = "10.0.2.100/24"
"""What the namespace has."""
GATEWAY = "10.0.2.2"
NAMESERVER = "10.0.2.3"
"""Where it answers for this machine's name servers, those on loopback too."""
LINE = "slirp"
"""The socket, in a folder of ours, where it is told of ports while they are being published."""
ELSE = "or use --network host or none"


@dataclass(frozen=True, slots=True)
class Forward:
    """A port of this machine that leads inside; `host` is the address it is open at."""

    protocol: str
    host: str
    outer: int
    inner: int

    def __str__(self) -> str:
        return f"{self.host}:{self.outer}/{self.protocol}"


@dataclass(slots=True)
class Helper:
    """The running program: `pidfd` is readable when it has ended, `close` ends it, if in a child of who started it."""

    pidfd: int
    _process: subprocess.Popen[bytes]
    _exit: int
    _said: int

    def close(self) -> None:
        """End it, and wait for that; nothing happens the second time."""
        if self._exit < 0:
            return
        os.close(self._exit)
        self._exit = -1
        if not select.select([self.pidfd], [], [], GRACE)[0]:
            self.kill()
        self._process.wait()
        os.close(self._said)
        os.close(self.pidfd)

    def kill(self) -> None:
        """SIGKILL; `close` is needed all the same."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def last_words(self) -> str:
        """The last line that it said, if it was one of complaint; it has ended."""
        said: list[str] = []
        with suppress(BlockingIOError):
            said = os.read(self._said, LARGEST).decode(errors="replace").strip().splitlines()
        return said[-1] if said else "no reason given"


def start(pid: int, *, mac: str = "", forwards: Sequence[Forward] = (), folder: Path | None = None) -> Helper:
    """Give the network namespace of a process, and of its user namespace, a way out; returns when it is there.

    `forwards` lead into it; the folder is needed for them, and nothing stays there. Raises NetworkUnavailable.
    """
    words = [find(), "--configure", "--mtu=65520", "--disable-host-loopback", "--enable-sandbox", "--enable-seccomp"]
    if mac:
        words.append(f"--macaddress={mac}")
    if forwards:
        assert folder is not None
        (folder / LINE).unlink(missing_ok=True)  # of one that was killed
        words.append(f"--api-socket={LINE}")
    with suppress(FileNotFoundError):  # it has gone; the helper says so
        calm(pid)
    ready, tell = os.pipe()
    ends, ours = os.pipe()
    said, saying = os.pipe()
    os.set_blocking(said, False)
    os.set_blocking(saying, False)  # nobody reads on when it has begun
    process = subprocess.Popen(
        [*words, f"--ready-fd={tell}", f"--exit-fd={ends}", str(pid), INTERFACE],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=saying,
        pass_fds=(tell, ends),
        cwd=folder,  # the name of a socket has only 107 bytes
        start_new_session=True,  # Ctrl-C is for the container, which may need its network to end well
    )
    for descriptor in (tell, ends, saying):
        os.close(descriptor)
    helper = Helper(os.pidfd_open(process.pid), process, ours, said)
    try:
        with os.fdopen(ready, "rb", 0) as end:
            known, _, _ = select.select([end], [], [], READY)
            begun = bool(known) and end.read(1) == b"1"
        if not begun:
            helper.kill()
            select.select([helper.pidfd], [], [])
            raise NetworkUnavailable(f"{PROGRAM} could not make a network ({helper.last_words()})", ELSE)
        if forwards and folder is not None:
            try:
                publish(folder, forwards)
            finally:
                (folder / LINE).unlink(missing_ok=True)
    except BaseException:
        helper.close()
        raise
    return helper


def publish(folder: Path, forwards: Sequence[Forward]) -> None:
    """Let ports lead inside. Raises NetworkUnavailable with the one that cannot."""
    held = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for forward in forwards:
            order = {
                "proto": forward.protocol,
                "host_addr": forward.host,
                "host_port": forward.outer,
                "guest_port": forward.inner,
            }
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
                line.settimeout(PATIENCE)
                line.connect(f"/proc/self/fd/{held}/{LINE}")
                line.sendall(json.dumps({"execute": "add_hostfwd", "arguments": order}).encode())
                line.shutdown(socket.SHUT_WR)
                answer = json.loads(line.recv(LARGEST) or b"{}")
            if "return" not in answer:
                why = answer.get("error", {}).get("desc", "no answer")
                raise NetworkUnavailable(f"{PROGRAM} cannot publish {forward} ({why})", "choose another port")
    except OSError as problem:
        raise NetworkUnavailable(f"{PROGRAM} cannot be told of ports ({problem})", ELSE) from problem
    finally:
        os.close(held)


def calm(pid: int) -> None:
    """A namespace as containers have it; see `runner.net.bridge.calm`. Raises FileNotFoundError if it has gone."""
    from runner.net.bridge import calm, within

    groups = max(one.inside + one.size for one in read(Path("/proc/self/gid_map").read_text()))
    netns = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        within(netns, lambda: calm(groups))
    finally:
        os.close(netns)


def find() -> str:
    """The program. Raises NetworkUnavailable if there is none, or if it could not open what it makes a network of."""
    try:
        os.close(os.open(TUN, os.O_RDWR | os.O_CLOEXEC))
    except OSError as problem:
        missing = isinstance(problem, FileNotFoundError)
        fix = "load the module tun" if missing else f"let this user open it (chmod 0666 {TUN})"
        raise NetworkUnavailable(
            f"a network without root needs {TUN}, which cannot be used ({problem.strerror})", f"{fix}, {ELSE}"
        ) from problem
    if (path := shutil.which(PROGRAM)) is None:
        raise NetworkUnavailable(
            f"a network without root needs {PROGRAM}, which is not installed", f"apt-get install {PROGRAM}, {ELSE}"
        )
    return path

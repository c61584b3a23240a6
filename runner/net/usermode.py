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
from collections.abc import Mapping, Sequence
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from layers.quick import dataclass
from runner.errors import NetworkUnavailable
from runner.net.plan import USUAL, Plan

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
OPTIONS = ("--configure", "--mtu=65520", "--disable-host-loopback", "--enable-sandbox", "--enable-seccomp")
INTERFACE = "tap0"
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
    to: str = ""
    """The address inside, if it is not the one that the program knows."""

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

    def leave(self) -> None:
        """It is not ours to end."""
        os.close(self._exit)
        self._exit = -1

    def kill(self) -> None:
        """SIGKILL; `close` is needed all the same."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def last_words(self) -> str:
        """The last line that it said, if it was one of complaint."""
        said = os.pread(self._said, LARGEST, 0).decode(errors="replace").strip().splitlines()
        return said[-1] if said else "no reason given"


def start(
    pid: int,
    *,
    plan: Plan = USUAL,
    mac: str = "",
    forwards: Sequence[Forward] = (),
    folder: Path | None = None,
) -> Helper:
    """Give the network namespace of a process, and of its user namespace, a way out; returns when it is there.

    `forwards` lead into it; the folder is needed for them, and nothing stays there. Raises NetworkUnavailable.
    """
    words = [f"--cidr={plan.address.network}", *([f"--macaddress={mac}"] if mac else [])]
    if forwards:
        assert folder is not None
        (folder / LINE).unlink(missing_ok=True)  # of one that was killed
        words.append(f"--api-socket={LINE}")
    with suppress(FileNotFoundError):  # it has gone; the helper says so
        calm(pid)
    ends, ours = os.pipe()
    try:
        helper = launch([*words, str(pid)], ends, ours, folder=folder)
    finally:
        os.close(ends)
    try:
        if plan.address != plan.first:
            readdress(pid, plan)
        if forwards and folder is not None:
            publish(folder, forwards)
    except BaseException:
        helper.close()
        raise
    finally:
        if forwards and folder is not None:
            (folder / LINE).unlink(missing_ok=True)
    return helper


def readdress(pid: int, plan: Plan) -> None:
    """Give the interface the address that was asked for, instead of the program's choice. Raises NetworkUnavailable."""
    from runner.net.bridge import within
    from runner.net.rtnetlink import Netlink

    netns = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        with within(netns, Netlink) as there:
            link = there.link(INTERFACE)
            if link is None:
                raise NetworkUnavailable(f"{INTERFACE} has gone", "try again")
            there.remove_address(link.index, plan.first)
            there.add_address(link.index, plan.address)
            there.add_default_route(IPv4Address(plan.gateway))
    except OSError as problem:
        raise NetworkUnavailable(f"{INTERFACE} cannot have {plan.address} ({problem.strerror})", ELSE) from problem
    finally:
        os.close(netns)


def launch(words: Sequence[str], ends: int, ours: int, *, folder: Path | None, more: Sequence[int] = ()) -> Helper:
    """Begin the program in a folder, with descriptors that it keeps; returns when the interface is there.

    It ends when nobody has the other end of `ends` any more; `ours` is that, and its own from now on.
    Raises NetworkUnavailable.
    """
    ready, tell = os.pipe()
    said = os.memfd_create(PROGRAM)  # a pipe would end it when nobody reads on
    try:
        process = subprocess.Popen(
            [find(), *OPTIONS, f"--ready-fd={tell}", f"--exit-fd={ends}", *words, INTERFACE],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            pass_fds=(tell, ends, *more),
            cwd=folder,  # the name of a socket has only 107 bytes
            start_new_session=True,  # Ctrl-C is for the container, which may need its network to end well
        )
    except BaseException:
        for descriptor in (ready, said, ours):
            os.close(descriptor)
        raise
    finally:
        os.close(tell)
    helper = Helper(os.pidfd_open(process.pid), process, ours, said)
    with os.fdopen(ready, "rb", 0) as end:
        known, _, _ = select.select([end], [], [], READY)
        begun = bool(known) and end.read(1) == b"1"
    if begun:
        return helper
    helper.kill()
    select.select([helper.pidfd], [], [])
    why = helper.last_words()
    helper.close()
    raise NetworkUnavailable(f"{PROGRAM} could not make a network ({why})", ELSE)


def publish(folder: Path, forwards: Sequence[Forward]) -> list[int]:
    """Let ports lead inside; by what numbers they can be withdrawn. Raises NetworkUnavailable."""
    found: list[int] = []
    for forward in forwards:
        order = {
            "proto": forward.protocol,
            "host_addr": forward.host,
            "host_port": forward.outer,
            "guest_port": forward.inner,
            **({"guest_addr": forward.to} if forward.to else {}),
        }
        answer = ask(folder, "add_hostfwd", order)
        if "return" not in answer:
            withdraw(folder, found)
            why = answer.get("error", {}).get("desc", "no answer")
            raise NetworkUnavailable(f"{PROGRAM} cannot publish {forward} ({why})", "choose another port")
        found.append(answer["return"]["id"])
    return found


def withdraw(folder: Path, numbers: Sequence[int]) -> None:
    """Let ports lead nowhere."""
    for number in numbers:
        with suppress(NetworkUnavailable):
            ask(folder, "remove_hostfwd", {"id": number})


def ask(folder: Path, word: str, arguments: Mapping[str, object] | None = None) -> dict[str, Any]:
    """The answer of the program whose socket lies in a folder. Raises NetworkUnavailable."""
    held = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(PATIENCE)
            line.connect(f"/proc/self/fd/{held}/{LINE}")
            order = {"execute": word, **({"arguments": arguments} if arguments else {})}
            line.sendall(json.dumps(order).encode())
            line.shutdown(socket.SHUT_WR)
            said = b""
            while piece := line.recv(LARGEST):
                said += piece
            answer: dict[str, Any] = json.loads(said or b"{}")
            return answer
    except (OSError, ValueError) as problem:
        raise NetworkUnavailable(f"{PROGRAM} cannot be told of ports ({problem})", ELSE) from problem
    finally:
        os.close(held)


def calm(pid: int) -> None:
    """A namespace as containers have it; see `runner.net.bridge.calm`. Raises FileNotFoundError if it has gone."""
    from runner.net.bridge import calm, within

    netns = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        within(netns, calm)
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

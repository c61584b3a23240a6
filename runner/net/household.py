"""The network namespace in which the bridges of a user are who is not root; slirp4netns leads out of it.

Nobody has to stay for it: the program keeps the namespace open, and ends when nobody has the writing end of a fifo any
more, with which everybody is counted who has something there, however they end. Whoever comes and finds nobody makes a
new one. All in the folder where processes of the user find each other (`runner.rootless`).
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from layers.quick import dataclass
from runner.errors import NetworkUnavailable
from runner.linux import CLONE_NEWNET, unshare
from runner.net import usermode
from runner.net.bridge import FORWARD, calm, within
from runner.net.usermode import Forward, Helper

T = TypeVar("T")
WAY, BOOK, LOCK = "networks.way", "networks.json", "networks.turn"
_begun: list[Helper] = []
"""Those that this process has begun; they are not its own."""


@dataclass(slots=True)
class Household:
    """The namespace, and our part in keeping it."""

    folder: Path
    netns: int
    _way: int

    def inside(self, action: Callable[[], T]) -> T:
        """What `action` gives there."""
        return within(self.netns, action)

    def publish(self, forwards: Sequence[Forward]) -> list[int]:
        """Let ports of this machine lead to ports of the namespace. Raises NetworkUnavailable."""
        return usermode.publish(self.folder, forwards)

    def withdraw(self, numbers: Sequence[int]) -> None:
        """Let them lead nowhere."""
        usermode.withdraw(self.folder, numbers)

    def keep(self, known: Callable[[str, int], bool]) -> None:
        """Withdraw the ports inside that are not known, of processes that were killed."""
        for one in usermode.ask(self.folder, "list_hostfwd").get("entries", ()):
            if not known(one["proto"], one["guest_port"]):
                self.withdraw([one["id"]])

    def close(self) -> None:
        """Have no part in it any more."""
        os.close(self.netns)
        os.close(self._way)


def join(folder: Path) -> Household:
    """Be one of those who have something there; it is made if there is none. Raises NetworkUnavailable."""
    with _turn(folder):
        return _living(folder) or _make(folder)


def visit(folder: Path, action: Callable[[], T]) -> T:
    """What `action` gives there; in a namespace with nothing in it, if there is none."""
    with _turn(folder):
        found = _living(folder)
    if found is None:
        netns = _fresh()
        try:
            return within(netns, action)
        finally:
            os.close(netns)
    try:
        return found.inside(action)
    finally:
        found.close()


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    held = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def _living(folder: Path) -> Household | None:
    """The one that is there."""
    try:
        record = json.loads((folder / BOOK).read_bytes())
        way = os.open(folder / WAY, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # fails if nobody reads
    except (OSError, ValueError):
        return None
    netns = -1
    with suppress(OSError, NetworkUnavailable):
        netns = os.open(f"/proc/{record['pid']}/fd/{record['netns']}", os.O_RDONLY | os.O_CLOEXEC)
        if os.fstat(netns).st_ino == record["inode"]:
            usermode.ask(folder, "list_hostfwd")  # who answers after we have come does not go for want of anybody
            return Household(folder, netns, way)
    for descriptor in (netns, way):
        if descriptor >= 0:
            os.close(descriptor)
    return None


def _make(folder: Path) -> Household:
    for name in (WAY, usermode.LINE):
        (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / WAY, 0o600)
    ends = os.open(folder / WAY, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    way = os.open(folder / WAY, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    netns = _fresh()
    try:
        words = [f"--api-socket={usermode.LINE}", "--netns-type=path", f"/proc/self/fd/{netns}"]
        helper = usermode.launch(words, ends, os.dup(way), folder=folder, more=[netns])
    except BaseException:
        os.close(netns)
        os.close(way)
        raise
    finally:
        os.close(ends)
    helper.leave()
    _begun.append(helper)
    record = {"pid": helper.pid, "netns": netns, "inode": os.fstat(netns).st_ino}
    (folder / BOOK).write_text(json.dumps(record))
    return Household(folder, netns, way)


def _fresh() -> int:
    """A new network namespace, as containers have it, that forwards."""
    found: list[int] = []

    def work() -> None:
        unshare(CLONE_NEWNET)
        calm()
        FORWARD.write_text("1")
        found.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))

    thread = threading.Thread(target=work, name="pybuild-netns")
    thread.start()
    thread.join()
    if not found:
        raise NetworkUnavailable("a network namespace cannot be made", usermode.ELSE)
    return found[0]

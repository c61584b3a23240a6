"""A second process for work on many small files: with that, Python keeps one processor busy and no more.

The command line forks it before there is any thread (ADR 4), while it is small. It waits on a socket, does what it is
asked, one thing after the other, and ends when its parent does. Whatever it fails at, the parent does itself, and so
meets the reason. Who uses this as a library has no helper.
"""

from __future__ import annotations

import importlib
import marshal
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

LENGTH = 8
"""Bytes that say how long a message is."""
MOST_DESCRIPTORS = 2

Work = Callable[[Any, Sequence[int]], Any]
"""A function of a module: it gets what was ordered, and descriptors. Both that and its result can be marshalled."""


class Helper:
    """Our end of it."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self.owes = False
        """Whether an answer has not been fetched yet."""

    def ask(self, work: Work, order: Any, descriptors: Sequence[int] = ()) -> None:
        """Have something done; `answer` brings the result, before anything else is asked."""
        self.owes = True
        with suppress(OSError):  # it has died: there will be no answer
            _send(self._channel, (work.__module__, work.__name__, order), descriptors)

    def answer(self) -> Any:
        """What came out; None if it failed, or nothing was asked."""
        if self.owes:
            self.owes = False
            with suppress(OSError, EOFError):
                return _receive(self._channel)[0]
        return None

    def prepare(self, module: str) -> None:
        """Let it import what it will need; nothing comes back."""
        with suppress(OSError):
            _send(self._channel, (module, "", None))

    def close(self) -> None:
        """It ends when it is done."""
        self._channel.close()


_helper: Helper | None = None
_turn = threading.Lock()


def start() -> None:
    """Fork it, where there is a processor for it. To be called before any thread is started."""
    global _helper  # noqa: PLW0603 (a process has one, as it has one command line)
    if len(os.sched_getaffinity(0)) < 2:
        return
    ours, its = socket.socketpair()
    try:
        child = os.fork()
    except OSError:  # there may be no more processes: then there is none
        ours.close()
        its.close()
        return
    if not child:
        try:
            _serve(its)
        finally:
            os._exit(0)
    its.close()
    _helper = Helper(ours)


@contextmanager
def lent() -> Iterator[Helper | None]:
    """The helper for one piece of work; None if there is none, or somebody else has it."""
    global _helper  # noqa: PLW0603
    if _helper is None or not _turn.acquire(blocking=False):
        yield None
        return
    try:
        yield _helper
    finally:
        if _helper.owes:  # what it works at now is of no use, and its answer must not be taken for another
            _helper.close()
            _helper = None
        _turn.release()


def _serve(channel: socket.socket) -> None:
    """The helper: do what comes until the other end is closed."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's, which our parent hears, too
    held = channel.fileno()
    os.closerange(0, held)
    os.closerange(held + 1, os.sysconf("SC_OPEN_MAX"))
    os.chdir("/")
    for _ in range(3):
        os.open(os.devnull, os.O_RDWR)
    while True:
        try:
            (module, name, order), descriptors = _receive(channel)
        except (OSError, EOFError):
            return
        try:
            loaded = importlib.import_module(module)
            if name:
                _send(channel, getattr(loaded, name)(order, descriptors))
        except BrokenPipeError:
            return
        except Exception:  # the parent meets it again, and tells
            _send(channel, None)
        finally:
            for one in descriptors:
                os.close(one)


def _send(channel: socket.socket, what: Any, descriptors: Sequence[int] = ()) -> None:
    data = marshal.dumps(what)
    socket.send_fds(channel, [len(data).to_bytes(LENGTH, "little")], descriptors)
    channel.sendall(data)


def _receive(channel: socket.socket) -> tuple[Any, list[int]]:
    """A message and its descriptors. Raises EOFError at the end, OSError."""
    head, descriptors, _, _ = socket.recv_fds(channel, LENGTH, MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    if len(head) < LENGTH:
        raise EOFError
    data = bytearray(int.from_bytes(head, "little"))
    view = memoryview(data)
    while view:
        if not (count := channel.recv_into(view)):
            raise EOFError
        view = view[count:]
    return marshal.loads(data), descriptors

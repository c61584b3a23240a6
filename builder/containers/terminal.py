"""The streams between a command behind walls and whoever started it: pipes, or a terminal in raw mode."""

from __future__ import annotations

import fcntl
import os
import selectors
import signal
import struct
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runner.native import Running

PIECE = 1 << 16
LINGER = 1.0
"""Seconds that output may still come after the command has ended."""
FORWARDED = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM")
)

Sink = Callable[[int, bytes], None]
"""Takes output: 1 or 2 and bytes."""


class Streams:
    """The ends that a command gets, and ours; close what was given after it has started."""

    def __init__(self, *, stdin: bool, terminal: bool) -> None:
        self.terminal = terminal
        self.given: list[int] = []
        self.out: dict[int, int] = {}
        self.input: int | None = None
        if terminal:
            nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            self.given = [nothing, nothing, nothing]
            return
        if stdin:
            reader, writer = os.pipe()
            self.given.append(reader)
            self.input = writer
        else:
            self.given.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        for stream in (1, 2):
            reader, writer = os.pipe()
            self.out[reader] = stream
            self.given.append(writer)

    def started(self) -> None:
        """The command has its ends: let go of them."""
        for descriptor in set(self.given):
            os.close(descriptor)
        self.given = []

    def close(self) -> None:
        """Let go of everything."""
        self.started()
        for descriptor in self.out:
            os.close(descriptor)
        self.out = {}
        self.end_input()

    def end_input(self) -> None:
        """Tell the command that no more input comes."""
        if self.input is not None:
            os.close(self.input)
            self.input = None


def pump(running: Running, streams: Streams, sink: Sink, *, stdin: int | None) -> None:
    """Move bytes until the command has ended and its output is read. Returns before `running.wait()`."""
    with selectors.DefaultSelector() as ready:
        ready.register(running, selectors.EVENT_READ)
        waiting: set[int] = set()
        if running.master is not None:
            ready.register(running.master, selectors.EVENT_READ)
            waiting.add(running.master)
        for reader in streams.out:
            ready.register(reader, selectors.EVENT_READ)
            waiting.add(reader)
        if stdin is not None and (streams.input is not None or running.master is not None):
            _feed(stdin, streams, running.master)
        ended = 0.0
        while not ended or (waiting and time.monotonic() < ended + LINGER):
            for key, _ in ready.select(LINGER if ended else None):
                if key.fileobj is running:
                    ready.unregister(running)
                    ended = time.monotonic()
                    continue
                try:
                    data = os.read(key.fd, PIECE)
                except OSError:  # EIO: the last one has left the terminal
                    data = b""
                if data:
                    sink(1 if key.fd == running.master else streams.out[key.fd], data)
                else:
                    ready.unregister(key.fd)
                    waiting.discard(key.fd)


def _feed(stdin: int, streams: Streams, master: int | None) -> None:
    """Hand our input on, in a thread: reading a terminal or a pipe may wait for ever."""

    def work() -> None:
        target = master if master is not None else streams.input
        with suppress(OSError):
            while data := os.read(stdin, PIECE):
                view = memoryview(data)
                while view and target is not None:
                    view = view[os.write(target, view) :]
        if master is None:
            streams.end_input()

    threading.Thread(target=work, name="pybuild-stdin", daemon=True).start()


def to_ours(stream: int, data: bytes) -> None:
    """Output to our own standard streams. A reader that has gone is no reason to stop the command."""
    view = memoryview(data)
    with suppress(BrokenPipeError):
        while view:
            view = view[os.write(stream, view) :]


@contextmanager
def raw_terminal(running: Running) -> Iterator[None]:
    """Our terminal becomes the command's: every key goes through, its size follows ours."""
    if running.master is None:
        yield
        return
    master = running.master
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(0)

    def resize(*_: object) -> None:
        with suppress(OSError):
            size = fcntl.ioctl(0, termios.TIOCGWINSZ, struct.pack("4H", 0, 0, 0, 0))
            fcntl.ioctl(master, termios.TIOCSWINSZ, size)

    old = signal.signal(signal.SIGWINCH, resize)
    resize()
    tty.setraw(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
        signal.signal(signal.SIGWINCH, old)


@contextmanager
def forwarding(running: Running) -> Iterator[None]:
    """Signals that we get go to the command."""
    before = {number: signal.signal(number, lambda number, _: running.signal(number)) for number in FORWARDED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

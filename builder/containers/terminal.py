"""The streams between a command behind walls and whoever started it: pipes, or a terminal in raw mode."""

from __future__ import annotations

import fcntl
import os
import select
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    import signal
    from typing import Any
else:
    import _signal as signal  # the same without enumerations

LINGER = 1.0
"""Seconds that output may still come after the command has ended."""
FORWARDED = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM")
)

NAMES = {1: "output", 2: "error"}
LOST = 125

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


_lost: set[int] = set()


def to_ours(stream: int, data: bytes) -> None:
    """Output to our own standard streams; a full disk is no reason to stop the command. Raises BrokenPipeError."""
    view = memoryview(data)
    while view and stream not in _lost:
        try:
            view = view[os.write(stream, view) :]
        except BlockingIOError:  # whoever shares it does not like to wait
            look = select.poll()
            look.register(stream, select.POLLOUT)
            look.poll()
        except BrokenPipeError:
            raise
        except OSError as error:
            _lost.add(stream)
            with suppress(OSError):
                os.write(2, f"warning: standard {NAMES[stream]}: {error.strerror}: the rest is lost\n".encode())


def unless_lost(code: int) -> int:
    """The exit code of a command whose output we showed: it has not gone well if some of that was lost."""
    return code or (LOST if _lost else 0)


class Raw:
    """Our terminal, in raw mode: every key goes through, and `resize` (rows, columns) is told its size."""

    def __init__(self, before: list[Any], handler: Any) -> None:
        self._before = before
        self._handler = handler

    @classmethod
    def enter(cls, resize: Callable[[int, int], None], *, keys: bool = True) -> Raw:
        """From now on; without `keys` only its size matters, and ctrl-c is still for us."""
        import termios
        import tty

        def measure(*_: object) -> None:
            with suppress(OSError):
                rows, columns, _, _ = struct.unpack("4H", fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))
                resize(rows, columns)

        raw = cls(termios.tcgetattr(0), signal.signal(signal.SIGWINCH, measure))
        measure()
        if keys:
            tty.setraw(0, termios.TCSANOW)  # what was typed already is meant for it
        return raw

    def leave(self) -> None:
        """As it was before."""
        import termios

        with suppress(termios.error):  # it has been closed
            termios.tcsetattr(0, termios.TCSADRAIN, self._before)
        signal.signal(signal.SIGWINCH, self._handler)


def resize(master: int, rows: int, columns: int) -> None:
    """Give the terminal whose master this is another size."""
    import termios

    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))


@contextmanager
def forwarding(pass_on: Callable[[int], None]) -> Iterator[None]:
    """Signals that we get go to `pass_on` instead."""
    before = {number: signal.signal(number, lambda number, _: pass_on(number)) for number in FORWARDED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

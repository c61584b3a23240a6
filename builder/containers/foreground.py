"""A container in the foreground: our streams are its streams, until it ends or we leave it to itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress

from builder.containers.keys import DETACH_KEYS, Keys
from builder.containers.line import DETACH, END_OF_INPUT, INPUT, PIECE
from builder.containers.terminal import Raw, resize, to_ours
from runner.sockets import Socket

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from builder.containers.switchboard import Client, Switchboard
    from runner.native import Native
    from runner.running import Running


UNHEARD = 1
"""The exit code of who is left because nobody reads what it shows, as docker's client has it."""


class Foreground:
    """`streams` are those that we show (1, 2); `stdin` hands ours on. `proxy`: signals to us are for the command."""

    def __init__(
        self,
        *,
        stdin: bool,
        tty: bool,
        streams: frozenset[int] = frozenset({1, 2}),
        proxy: bool = True,
        keys: bytes = DETACH_KEYS,
    ) -> None:
        self.stdin = stdin
        self.tty = tty
        self.streams = streams
        self.proxy = proxy
        self.keys = keys
        self.raw: Raw | None = None
        self.line: Socket | None = None
        self.client: Client | None = None
        self.unheard: Callable[[], object] | None = None

    def show(self, stream: int, data: bytes) -> None:
        """Output of the command. When its reader has gone we leave, if there is somebody to leave."""
        if stream in self.streams:
            try:
                to_ours(stream, data)
            except BrokenPipeError:
                unheard, self.unheard = self.unheard, None
                if unheard is not None:
                    unheard()

    def take(self, running: Running, board: Switchboard, detached: Callable[[int], None]) -> None:
        """The command runs: our terminal becomes its terminal, our input its input.

        `detached` is called with our exit code when keys, or the end of whoever reads us, part us from it.
        """
        self.unheard = lambda: board.loop.later(0, lambda: detached(UNHEARD))
        if running.master is not None and sys.stdin.isatty():
            master = running.master
            self.raw = Raw.enter(lambda rows, columns: resize(master, rows, columns), keys=self.stdin)
        if self.stdin and self.line is None:
            self.line, far = Socket.pair()
            self.client = board.join(far, output=False, gives=True, detached=lambda: detached(0))
            keys = Keys(self.keys) if self.tty and sys.stdin.isatty() else None
            import threading

            threading.Thread(target=feed, args=(self.line, keys), name="pybuild-stdin", daemon=True).start()

    def release(self) -> None:
        """The command has ended: our terminal is as it was."""
        if self.raw is not None:
            self.raw.leave()
            self.raw = None

    def leave(self, code: int, board: Switchboard, runtime: Native) -> None:
        """The process that our caller waits for ends with `code`; its child returns from here and goes on alone.

        Only the child is left with what was open: locks, mounts, the spawner's channel. It has no thread but this one,
        and speaks to nobody. It has parted before the process ends: the terminal that is closed then hangs up on all
        who still belong to it, and a hangup is handed on to the command.
        """
        from runner.leaving import forked, part

        sys.stdout.flush()
        runtime.spawner.hush()
        parted = forked()
        if parted is None:
            self.release()
            os._exit(code)
        part()
        os.close(parted)
        self.raw = None
        if self.line is not None and self.client is not None:
            self.line.close()
            board.drop(self.client)


def feed(line: Socket, keys: Keys | None) -> None:
    """Our standard input as packets: in a thread, for reading a terminal or a file may wait for ever.

    Ends when the input ends, when the other side has gone, or at the detach keys.
    """
    with suppress(OSError):
        while data := os.read(0, PIECE):
            rest, detach = keys.pass_on(data) if keys is not None else (data, False)
            if rest:
                line.send(INPUT + rest)
            if detach:
                line.send(DETACH)
                return
        line.send(END_OF_INPUT)

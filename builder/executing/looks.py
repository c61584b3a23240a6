"""Failed commands that somebody wants to look at: threads have them, the thread that owns the terminal shows them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TYPE_CHECKING

from layers.quick import dataclass

if TYPE_CHECKING:
    from builder.graph import Step
    from runner import Exit, Sandbox
    from runner.sandbox import Wire

LOOK_SECONDS = 0.1
"""How often Python looks at signals: one that comes just before a wait without end is not seen."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One command, as it was run and as it ended, and what wires another to its network.

    Whoever brought it waits until it was `seen`.
    """

    step: Step
    sandbox: Sandbox
    exit: Exit
    wire: Wire | None
    seen: threading.Event


class Looks:
    """Those that wait for the debugger."""

    def __init__(
        self, debugger: Callable[[Step, Sandbox, Exit, Wire | None], None] | None, halt: threading.Event
    ) -> None:
        self.wanted = debugger is not None
        self._debugger = debugger
        self._halt = halt
        self._waiting: SimpleQueue[Failure] = SimpleQueue()
        self._gone = threading.Event()

    def bring(self, step: Step, sandbox: Sandbox, exit: Exit, wire: Wire | None) -> None:
        """Have a failed command shown; returns when it was looked at, or nobody looks any more."""
        self._halt.set()
        failure = Failure(step, sandbox, exit, wire, threading.Event())
        self._waiting.put(failure)
        while not failure.seen.wait(LOOK_SECONDS) and not self._gone.is_set():
            pass

    def show(self) -> None:
        """Show what is waiting."""
        while not self._waiting.empty():
            failure = self._waiting.get()
            try:
                if self._debugger is not None:
                    self._debugger(failure.step, failure.sandbox, failure.exit, failure.wire)
            finally:
                failure.seen.set()

    def close(self) -> None:
        """Nobody looks any more."""
        self._gone.set()

"""Threads that do steps: none before the first is wanted, never more than `most`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from builder.graph import Step


class Threads:
    """Does the steps that are begun, and gives each back with the error that it ended in, or none."""

    def __init__(self, do: Callable[[Step], None], most: int) -> None:
        self.running = 0
        """Steps that were begun and not given back."""
        self._do = do
        self._most = most
        self._threads: list[threading.Thread] = []
        self._begun: SimpleQueue[Step | None] = SimpleQueue()
        self._ended: SimpleQueue[tuple[Step, BaseException | None]] = SimpleQueue()

    def begin(self, step: Step) -> None:
        """Have a step done as soon as a thread is free."""
        self.running += 1
        self._begun.put(step)
        if len(self._threads) < min(self.running, self._most):
            thread = threading.Thread(target=self._work, name=f"pybuild-step-{len(self._threads)}")
            self._threads.append(thread)
            thread.start()

    def ended(self, seconds: float) -> Iterator[tuple[Step, BaseException | None]]:
        """What has ended: waits so long for the first."""
        with suppress(Empty):
            one = self._ended.get(timeout=seconds)
            while True:
                self.running -= 1
                yield one
                one = self._ended.get_nowait()

    def close(self) -> None:
        """Wait for all that was begun."""
        for _ in self._threads:
            self._begun.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (step := self._begun.get()) is not None:
            error = None
            try:
                self._do(step)
            except BaseException as met:  # whoever looks at what has ended raises it
                error = met
            self._ended.put((step, error))

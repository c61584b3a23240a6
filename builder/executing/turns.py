"""One result is made by one thread at a time: who wants the same meanwhile waits, and finds it in the cache."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOOK_SECONDS = 0.05


class Turns:
    """The keys of what is being made, by all builds of this process that use one workbench."""

    def __init__(self) -> None:
        self._made: dict[str, threading.Event] = {}
        self._lock = threading.Lock()

    @contextmanager
    def take(self, key: str, pause: Callable[[], None]) -> Iterator[bool]:
        """Ours alone while inside; True if somebody else was at it. `pause` is called while waiting, and may raise."""
        waited = False
        done = threading.Event()
        while True:
            with self._lock:
                if (other := self._made.setdefault(key, done)) is done:
                    break
            waited = True
            while not other.wait(LOOK_SECONDS):
                pause()
        try:
            yield waited
        finally:
            with self._lock:
                del self._made[key]
            done.set()

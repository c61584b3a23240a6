"""One result is made by one at a time, in all processes on a store: who wants the same waits, and finds it then.

A turn is had while one thing is made, by somebody who waits for nobody's turn meanwhile but for those of the blobs that
are fetched for it, and these for nobody's: so all of them come to an end.
What is made anew although it is known (`anew`) is worth waiting for, also to those who would have taken what there was;
but whoever wants something new does not take what others began to make for whoever is content with less. That is what
BuildKit does as well. If one fails, those who wait for it do not wait for each other as well: they would fail one after
another.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from layers.disk.keylocks import KeyLocks

LOOK_SECONDS = 0.05
"""How often who has waited for a while looks whether it is over."""
FIRST_SECONDS = 0.001


class Turn:
    """Somebody's. `waited`: it comes after another one; `failed`: nothing was made in it."""

    def __init__(self) -> None:
        self.waited = False
        self.failed = False
        self.over = threading.Event()


class Turns:
    """Who is at what; threads share it. `path` is a file that is made if need be."""

    def __init__(self, path: Path) -> None:
        self._files = KeyLocks(path)
        self._here: dict[str, Turn] = {}
        self._lock = threading.Lock()

    @contextmanager
    def take(self, key: str, pause: Callable[[int], None], *, anew: bool = False) -> Iterator[bool]:
        """Ours alone while inside, unless who had it before has failed; True if somebody had it when we asked.

        `pause` is called again and again while waiting, with the number of the process that is waited for, 0 if it is
        this one; it may raise to give up. Whoever leaves with an error has failed, unless `pause` would raise as well.
        """
        turn, held = Turn(), list[str]()
        try:
            first = f"{key} anew" if anew else key
            if self._waited(first, turn, pause):
                held.append(first)
                if anew and self._other(key, turn) is None:
                    held.append(key)
            try:
                yield turn.waited
            except Exception:
                with suppress(Exception):
                    pause(0)
                    turn.failed = True
                raise
        finally:
            for name in reversed(held):
                self._end(name, turn)
            turn.over.set()

    def _waited(self, name: str, turn: Turn, pause: Callable[[int], None]) -> bool:
        """Wait until it is our turn; False if somebody has failed meanwhile."""
        mark: bytes | None = None
        nap = FIRST_SECONDS
        while (other := self._other(name, turn)) is not None:
            turn.waited = True
            seen, mark = mark, self._files.mark(name)
            if seen not in (None, mark):
                return False
            if isinstance(other, Turn):
                pause(0)
                if other.over.wait(nap) and other.failed:
                    return False
            else:
                pause(other)
                time.sleep(nap)
            nap = min(2 * nap, LOOK_SECONDS)
        return True

    def _other(self, name: str, turn: Turn) -> Turn | int | None:
        """Who has it: a thread of ours, another process; None if it is ours now."""
        with self._lock:
            if (other := self._here.setdefault(name, turn)) is not turn:
                return other
            if not (process := self._files.take(name)):
                return None
            del self._here[name]
            return process

    def _end(self, name: str, turn: Turn) -> None:
        if turn.failed:
            self._files.change(name)
        with self._lock:
            self._files.free(name)
            del self._here[name]

"""One thread that waits for many things: descriptors that become ready, moments that come."""

from __future__ import annotations

import itertools
import os
import select
import time
from contextlib import suppress

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from collections.abc import Callable

    Action = Callable[[], object]

READ, WRITE = select.EPOLLIN, select.EPOLLOUT


class Timer:
    """Something that is done at a moment, unless it is cancelled before."""

    def __init__(self, action: Action) -> None:
        self.action: Action | None = action

    def cancel(self) -> None:
        """It will not be done."""
        self.action = None


class Loop:
    """Calls what was registered; nothing here is for several threads."""

    def __init__(self) -> None:
        self._ready = select.epoll()
        self._actions: dict[int, Action] = {}
        self._timers: list[tuple[float, int, Timer]] = []  # sorted; they are few
        self._count = itertools.count()
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.watch(self._bell, self._rung)

    def wake(self) -> None:
        """Let `run` ask again whether it is done; for signal handlers, after which a wait goes on by itself."""
        os.eventfd_write(self._bell, 1)

    def watch(self, descriptor: int, action: Action, events: int = READ) -> None:
        """Call `action` whenever a descriptor is ready; it replaces an older one."""
        self.forget(descriptor)
        self._ready.register(descriptor, events)
        self._actions[descriptor] = action

    def forget(self, descriptor: int) -> None:
        """Stop watching."""
        if self._actions.pop(descriptor, None) is not None:
            with suppress(OSError):  # it was closed before
                self._ready.unregister(descriptor)

    def later(self, seconds: float, action: Action) -> Timer:
        """Call `action` once, so many seconds from now."""
        timer = Timer(action)
        self._timers.append((time.monotonic() + seconds, next(self._count), timer))
        self._timers.sort()
        return timer

    def run(self, done: Callable[[], bool], *, seconds: float | None = None) -> None:
        """Go round until `done`, or until so many seconds have passed."""
        until = None if seconds is None else time.monotonic() + seconds
        while not done():
            now = time.monotonic()
            if until is not None and now >= until:
                return
            moments = [moment for moment in (until, self._next()) if moment is not None]
            ready = self._ready.poll(max(min(moments) - now, 0) if moments else None)
            for descriptor, action in [(one, self._actions.get(one)) for one, _ in ready]:
                if action is not None and self._actions.get(descriptor) is action:  # one before may have forgotten it
                    action()
            self._fire()

    def close(self) -> None:
        """Let go of everything."""
        self._ready.close()
        os.close(self._bell)

    def _rung(self) -> None:
        os.eventfd_read(self._bell)

    def _next(self) -> float | None:
        while self._timers and self._timers[0][2].action is None:
            del self._timers[0]
        return self._timers[0][0] if self._timers else None

    def _fire(self) -> None:
        while (moment := self._next()) is not None and moment <= time.monotonic():
            _, _, timer = self._timers.pop(0)
            action, timer.action = timer.action, None
            if action is not None:
                action()

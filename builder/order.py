"""In which order steps can be done: those that need nothing any more are ready."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from builder.graph import Step


class Order:
    """Which steps can begin: those that need nothing any more."""

    def __init__(self, steps: Iterable[Step]) -> None:
        self.ready: deque[Step] = deque()
        self._lacks: dict[int, int] = {}
        self._users: dict[int, list[Step]] = {}
        for step in steps:
            needs = set(step.needs)
            self._lacks[step.id] = len(needs)
            for need in needs:
                self._users.setdefault(need, []).append(step)
            if not needs:
                self.ready.append(step)

    def done(self, step: Step) -> None:
        """A step has its result."""
        for user in self._users.get(step.id, ()):
            self._lacks[user.id] -= 1
            if not self._lacks[user.id]:
                self.ready.append(user)

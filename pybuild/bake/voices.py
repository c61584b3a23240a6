"""Several builds tell one renderer what they do: each step has an id of its own and the name of its target."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from builder.events import Planned
from layers.quick import replace

if TYPE_CHECKING:
    from builder.events import Event


class Voices:
    """Hands events on, one at a time."""

    def __init__(self, show: Callable[[Event], None]) -> None:
        self._show = show
        self._turn = threading.Lock()
        self._last = 0
        """The greatest id of a step so far."""

    def of(self, name: str) -> Callable[[Event], None]:
        """What a build emits its events to; "" is a target that is alone."""
        offset = 0

        def tell(event: Event) -> None:
            nonlocal offset
            with self._turn:
                if isinstance(event, Planned):
                    offset = self._last
                    self._last += max((step.id for step in event.steps), default=0)
                self._show(moved(event, name, offset))

        return tell


def moved(event: Event, name: str, offset: int) -> Event:
    """The event with other ids, and stages that say whose they are."""
    if isinstance(event, Planned):
        steps = (
            replace(
                step,
                id=step.id + offset,
                needs=tuple(need + offset for need in step.needs),
                stage=f"{name} {step.stage}".lstrip(),
            )
            for step in event.steps
        )
        return Planned(tuple(steps))
    step = getattr(event, "step", None)
    changed: dict[str, Any] = {} if step is None else {"step": step + offset}
    return replace(event, **changed) if changed else event

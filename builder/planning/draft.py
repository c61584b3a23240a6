"""The graph while it is planned."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

from builder.graph import Base, Fetch, Step
from layers.quick import replace

if TYPE_CHECKING:
    from builder.graph import BaseImage, Op
    from builder.span import Span
    from layers import Platform


class Draft:
    """The steps so far; one whose result several want is there once. `stage` is the title of that being planned."""

    def __init__(self) -> None:
        self.stage = ""
        self._steps: list[Step] = []
        self._counts: dict[str, int] = {}
        self._known: dict[Hashable, int] = {}

    def step(self, op: Op, base: int | None, title: str, span: Span, platform: Platform) -> int:
        """One more step; its id."""
        position = self._counts.get(self.stage, 0) + 1
        self._counts[self.stage] = position
        number = len(self._steps) + 1
        self._steps.append(Step(number, op, base, title, self.stage, position, platform, span))
        return number

    def once(self, key: Hashable, make: Callable[[], int]) -> int:
        """The step that is known by a key, made if there is none; it counts as the first of a stage without others."""
        if key not in self._known:
            self._known[key] = make()
        self.begun()
        return self._known[key]

    def begun(self) -> None:
        """The stage stands on a step of another."""
        self._counts.setdefault(self.stage, 1)

    def base(self, image: BaseImage | None, platform: Platform, span: Span) -> int:
        """The step that gives the layers of an image; None for scratch."""
        title = f"FROM {image.reference}" if image else "FROM scratch"
        key = (str(image.target.digest), str(image.config.digest)) if image else None
        return self.once((key, platform), lambda: self.step(Base(image), None, title, span, platform))

    def fetch(self, op: Fetch, title: str, platform: Platform, span: Span) -> int:
        """The step that brings something from elsewhere."""
        return self.once(op, lambda: self.step(op, None, title, span, platform))

    def finished(self) -> tuple[Step, ...]:
        """The steps, each with how many its stage has."""
        return tuple(replace(step, count=self._counts[step.stage]) for step in self._steps)

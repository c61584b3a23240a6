"""What has become of each step of a graph, kept and told."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from builder.build import StepReport
from builder.errors import StepFailed
from builder.events import Event, StepCached, StepFinished
from builder.events import StepFailed as FailedEvent
from builder.graph import Copy
from builder.times import after, now
from layers import Chain
from layers.quick import dataclass

if TYPE_CHECKING:
    from builder.caching.cache import Kept
    from builder.caching.finding import Finder
    from builder.caching.looking import Looked
    from builder.graph import Step
    from builder.request import BuildRequest
    from layers.tar.toc import Toc
    from runner import Usage


@dataclass(frozen=True, slots=True)
class Made:
    """The result of a step: the chain that ends in its layer, and when that was made (RFC 3339)."""

    chain: Chain
    created: str
    size: int = 0


class Results:
    """The results so far, and a report of each step; threads may share it."""

    def __init__(self, request: BuildRequest, finder: Finder, emit: Callable[[Event], None]) -> None:
        self.made: dict[int, Made] = {}
        self.reports: dict[int, StepReport] = {}
        self.moves: dict[str, str] = {}
        """Lines on which cached steps stand now, by key."""
        self.emit = emit
        self._request = request
        self._finder = finder

    def now(self) -> str:
        """The time of results that stand on nothing."""
        return now(self._request)

    def below(self, step: Step) -> str:
        """The time of what a step stands on."""
        assert step.base is not None
        return self.made[step.base].created

    def created(self, step: Step, toc: Callable[[], Toc]) -> str:
        """The time that a step's new layer gets."""
        if self._request.epoch is not None or self._request.clock:
            return self.now()
        below = self.below(step)
        return after(below, toc()) if isinstance(step.op, Copy) else below

    def chains(self, step: Step) -> dict[int, Chain]:
        """The results of the steps that one needs."""
        return {id: self.made[id].chain for id in step.needs}

    def hit(self, step: Step, looked: Looked, kept: Kept) -> None:
        """A cache had the result."""
        if kept.line != step.span.place:
            self.moves[looked.key.text] = step.span.place
        created = kept.created if self._request.epoch is None else self.now()
        self.cached(step, Made(looked.below.push(kept.diff_id), created, kept.size), kept.seconds, kept.usage)

    def cached(self, step: Step, made: Made, seconds: float = 0.0, usage: Usage | None = None) -> None:
        """The result was there; making it took so long."""
        self.made[step.id] = made
        self._report(step, "cached", seconds, usage)
        self.emit(StepCached(step.id, seconds, usage))

    def finished(self, step: Step, seconds: float, usage: Usage | None = None, reason: str = "") -> None:
        """What is in `made` now took so long to make."""
        report = self._report(step, "ran", seconds, usage, reason)
        self.emit(StepFinished(step.id, seconds, usage, report.size, report.diff_id))

    def skipped(self, step: Step) -> None:
        """It did not begin: another failed."""
        self.reports[step.id] = StepReport(step.id, step.title, step.stage, step.span, "skipped")

    def failed(self, step: Step, error: Exception, began: float) -> None:
        """It ended in an error; `began` is of `time.monotonic`."""
        exit = error.exit if isinstance(error, StepFailed) else None
        self.emit(
            FailedEvent(
                step.id,
                str(error).partition("\n")[0],
                time.monotonic() - began,
                None if exit is None else exit.code,
                exit is not None and exit.oom_killed,
                exit is not None and exit.timed_out,
                getattr(error, "help", ""),
                None if exit is None else exit.usage,
                getattr(error, "kept", ""),
            )
        )

    def _report(
        self, step: Step, status: Literal["ran", "cached"], seconds: float, usage: Usage | None, reason: str = ""
    ) -> StepReport:
        made = self.made[step.id]
        report = self.reports[step.id] = StepReport(
            step.id,
            step.title,
            step.stage,
            step.span,
            status,
            seconds,
            usage,
            made.chain.diff_ids[-1] if made.chain.diff_ids else None,
            made.size,
            reason,
            self._finder.keys.get(step.id, ""),
        )
        return report

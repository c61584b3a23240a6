"""One line a step on a terminal, redrawn while it works: what it does, how long it took, CACHED.

Below a running step stand the last lines it wrote; when it is done they go, when it fails all of its last lines stay.
"""

from __future__ import annotations

import codecs
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from builder.events import (
    Event,
    Exported,
    Planned,
    PlannedStep,
    StepCached,
    StepFailed,
    StepFinished,
    StepOutput,
    StepProgress,
    StepStarted,
    StepWaiting,
    Warned,
)
from pybuild import units
from pybuild.progress.words import LONGEST, because, checked, failure, harmless, label, outcome, waiting, warning

if TYPE_CHECKING:
    from builder import BuildResult

TAIL = 5
KEPT = 20
PER_SECOND = 10

MARKS = {"waiting": ("▸", "dim"), "running": ("▸", "bold"), "cached": ("✓", "dim"), "done": ("✓", "")}
"""How a step is marked and written, by what it does; else it has failed."""


class Line:
    """One step on the screen."""

    def __init__(self, step: PlannedStep) -> None:
        self.title = label(step)
        self.state = ""
        self.started = 0.0
        self.ended = 0.0
        self.note = ""
        self.why: list[str] = []
        self.tail: deque[str] = deque(maxlen=KEPT)
        self._rest = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def take(self, data: bytes) -> None:
        """Remember the last lines of what it writes."""
        *whole, rest = (self._rest + self._decoder.decode(data)).split("\n")
        self._rest = rest[-LONGEST:]
        self.tail.extend(map(overwritten, whole))

    def shown(self, width: int) -> list[Text]:
        """Its line, and the tail while it runs or if it failed."""
        if not self.state:
            return []
        running = self.state in ("running", "waiting")
        seconds = (time.monotonic() if running else self.ended) - self.started
        mark, style = MARKS.get(self.state, ("✗", "red"))
        right = {"cached": "CACHED"}.get(self.state, units.seconds(seconds) if self.state in MARKS else self.state)
        right = f"{self.note} {right}" if self.note and running else right
        left = f"{mark} {self.title}"
        room = max(width - len(right) - 1, 10)
        if len(left) > room:
            left = left[: room - 1] + "…"
        lines = [Text(f"{left}{' ' * (width - len(left) - len(right))}{right}", style=style, no_wrap=True, end="")]
        lines += [Text(f"  {line}"[:width], style="dim", no_wrap=True, end="") for line in self.why]
        if running or mark == "✗":
            count = TAIL if running else KEPT
            tail = [*self.tail, *([overwritten(self._rest)] if self._rest else [])][-count:]
            lines += [Text(f"  │ {line}"[:width], style="dim", no_wrap=True, end="") for line in tail]
        return lines


def overwritten(line: str) -> str:
    """What a terminal would show of a line: the part after the last carriage return."""
    return harmless(line.rstrip("\r").rpartition("\r")[2])


class Screen:
    """All lines; what is finished scrolls up when there are more than fit."""

    def __init__(self) -> None:
        self.lines: dict[int, Line] = {}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        shown = [text for line in list(self.lines.values()) for text in line.shown(width)]
        for text in shown[-(options.size.height - 2) :]:
            yield text
            yield Text("")


class Terminal:
    """Draws with rich; started with the first step, so that a build of nothing draws nothing."""

    def __init__(self, out: TextIO, *, color: bool) -> None:
        self._console = Console(file=out, no_color=not color, highlight=False)
        self._screen = Screen()
        self._checked: list[Warned] = []
        self._live: Live | None = Live(
            self._screen, console=self._console, refresh_per_second=PER_SECOND, vertical_overflow="visible"
        )
        self._live.start()

    def __call__(self, event: Event) -> None:
        """Change what is drawn."""
        lines = self._screen.lines
        match event:
            case Planned(steps):
                lines.update({step.id: Line(step) for step in steps})
            case StepWaiting(step, process):
                lines[step].state, lines[step].started = "waiting", lines[step].started or time.monotonic()
                lines[step].why = [waiting(process)]
            case StepStarted(step):
                lines[step].state, lines[step].started = "running", time.monotonic()
                lines[step].why = because(event)
            case StepCached(step):
                lines[step].state, lines[step].why = "cached", []
            case StepOutput(step, _, data):
                lines[step].take(data)
            case StepProgress(step, what, done, total):
                of = f"/{units.size(total)}" if total else ""
                lines[step].note = f"{what} {units.size(done)}{of}"
            case StepFinished(step):
                lines[step].state, lines[step].ended = "done", time.monotonic()
            case StepFailed(step):
                lines[step].state, lines[step].ended = failure(event), time.monotonic()
            case Warned(rule=rule) if rule:
                self._checked.append(event)
            case Warned():
                self._console.print(Text(warning(event), style="yellow"))
            case Exported(kind, name) if kind != "store":
                self._console.print(Text(f"exported {kind} {name}"))

    def finish(self, result: BuildResult, names: Sequence[str]) -> None:
        """Leave the last picture, and the summary below it."""
        self.close()
        self._console.print(Text(outcome(result, names), style="bold"))

    def close(self) -> None:
        """Draw once more and give the terminal back."""
        if self._live is not None:
            self._live.stop()
            self._live = None
            for line in checked(self._checked):
                self._console.print(Text(line, style="yellow" if not line.startswith(" - ") else ""))

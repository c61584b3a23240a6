"""Lines that stay: for logs, pipes and machines. Every line begins with the number of its step, as BuildKit's do."""

from __future__ import annotations

import codecs
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

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
from pybuild.progress.words import LONGEST, because, checked, failure, harmless, label, outcome, used, waiting, warning

if TYPE_CHECKING:
    from builder import BuildResult

EVERY = 5.0
"""Seconds between two lines about the bytes of one step."""


class Plain:
    """Writes each thing once, when it is known."""

    def __init__(self, out: TextIO, *, color: bool) -> None:
        self._out = out
        self._color = color
        self._steps: dict[int, PlannedStep] = {}
        self._started: dict[int, float] = {}
        self._lines: dict[tuple[int, int], tuple[codecs.IncrementalDecoder, str]] = {}
        self._told: dict[int, float] = {}
        self._checked: list[Warned] = []

    def __call__(self, event: Event) -> None:
        """Write what an event says."""
        match event:
            case Planned(steps):
                self._steps.update({step.id: step for step in steps})
            case StepWaiting(step, process):
                self._say(step, label(self._steps[step]), bold=True)
                self._say(step, waiting(process))
            case StepStarted(step):
                self._started[step] = time.monotonic()
                self._say(step, label(self._steps[step]), bold=True)
                for line in because(event):
                    self._say(step, line)
            case StepCached(step, _, usage):
                self._say(step, label(self._steps[step]), bold=True)
                self._say(step, f"CACHED{used(usage)}")
            case StepOutput(step, stream, data):
                self._output(step, stream, data)
            case StepProgress(step, what, done, total):
                self._progress(step, what, done, total)
            case StepFinished(step, seconds, usage):
                self._flush(step)
                self._say(step, f"DONE {units.seconds(seconds)}{used(usage)}")
            case StepFailed(step):
                self._flush(step)
                if step not in self._started:  # it failed before it began: its files are missing
                    self._say(step, label(self._steps[step]), bold=True)
                self._say(step, failure(event))
            case Warned(rule=rule) if rule:
                self._checked.append(event)
            case Warned():
                self._write(warning(event))
            case Exported(kind, name) if kind != "store":
                self._write(f"exported {kind} {name}")

    def finish(self, result: BuildResult, names: Sequence[str]) -> None:
        """Write the summary."""
        self._warnings()
        self._write(outcome(result, names))

    def close(self) -> None:
        """Write what came without a line end."""
        for step, _ in list(self._lines):
            self._flush(step)
        self._warnings()

    def _warnings(self) -> None:
        for line in checked(self._checked):
            self._write(line)
        self._checked = []

    def _say(self, step: int, text: str, *, bold: bool = False) -> None:
        if self._color and bold:
            text = f"\x1b[1m{text}\x1b[0m"
        self._write(f"#{step} {text}")

    def _write(self, text: str) -> None:
        self._out.write(text + "\n")
        self._out.flush()

    def _output(self, step: int, stream: int, data: bytes) -> None:
        key = (step, stream)
        decoder, rest = self._lines.get(key) or (codecs.getincrementaldecoder("utf-8")("replace"), "")
        *whole, rest = (rest + decoder.decode(data)).split("\n")
        if len(rest) > LONGEST:
            whole, rest = [*whole, rest], ""
        self._lines[key] = (decoder, rest)
        if whole:
            since = time.monotonic() - self._started.get(step, time.monotonic())
            self._write("\n".join(f"#{step} {since:.3f} {harmless(line)}" for line in whole))

    def _flush(self, step: int) -> None:
        for stream in (1, 2):
            _, rest = self._lines.pop((step, stream), (None, ""))
            if rest:
                since = time.monotonic() - self._started.get(step, time.monotonic())
                self._write(f"#{step} {since:.3f} {harmless(rest)}")

    def _progress(self, step: int, what: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        last = self._told.setdefault(step, now)
        if now - last >= EVERY:
            self._told[step] = now
            of = f" of {units.size(total)}" if total else ""
            self._say(step, f"{what}: {units.size(done)}{of}")

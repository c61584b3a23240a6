"""Words that the renderers share: the title of a step, the summary, text that obeys no terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pybuild import units

if TYPE_CHECKING:
    from builder import BuildResult
    from builder.events import PlannedStep, StepFailed, StepStarted, Warned
    from runner import Usage

LONGEST = 65_536
"""Characters of a line that never ends which are kept in memory."""
CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[@-Z\\-_]|[\x00-\x08\x0b-\x1f\x7f\u0080-\u009f]")


def label(step: PlannedStep) -> str:
    """`[builder 2/5] RUN make`."""
    where = f"{step.platform} " if step.platform else ""
    title = step.title.replace("\n", " ⏎ ")
    return f"[{where}{step.stage} {step.position}/{step.count}] {harmless(title)}"


def harmless(text: str) -> str:
    """Text of a container without what a terminal would obey: escape sequences and control characters."""
    return CONTROL.sub("", text)


def outcome(result: BuildResult, names: Sequence[str]) -> str:
    """The last line of a build."""
    ran = sum(step.status == "ran" for step in result.steps)
    cached = sum(step.status == "cached" for step in result.steps)
    what = " ".join([str(image) for image in result.image_ids][:1])
    more = f" and {len(result.image_ids) - 1} more" if len(result.image_ids) > 1 else ""
    called = f" ({', '.join(names)})" if names else ""
    steps = f"{units.plural(ran, 'step')} run, {cached} cached"
    return f"built {what}{more}{called}: {units.size(result.size)}, {steps}, {units.seconds(result.seconds)}"


def failure(event: StepFailed) -> str:
    """How a step failed, in a few words; the whole message is the roof's."""
    if event.timed_out:
        return "TIMED OUT"
    if event.oom_killed:
        return "OUT OF MEMORY"
    return "FAILED" if event.exit_code is None else f"FAILED ({event.exit_code})"


def waiting(process: int) -> str:
    """What a step does that another build is making."""
    return f"waiting for the same step in another build (pid {process})"


def because(event: StepStarted) -> list[str]:
    """Why a step is made anew, and what else has changed; nothing if nobody asked."""
    more = [f"        {change}" for change in event.changes[1:]]
    return [harmless(line) for line in (f"because {event.reason}", *more)] if event.reason else []


def checked(warnings: Sequence[Warned]) -> Iterator[str]:
    """What checks found, told when everything else is over; each once, in the order of the file."""
    lines = dict.fromkeys(
        f" - {event.rule}: {harmless(event.message)} (line {event.span.line})"
        for event in sorted(warnings, key=lambda event: event.span.line)
    )
    if lines:
        yield ""
        yield f" {units.plural(len(lines), 'warning')} found (use 'pybuild check' to expand):"
        yield from lines


def used(usage: Usage | None) -> str:
    """What a command used, as ` (cpu 0.31s, memory 12MB, disk 1MB read 3MB written, 4 tasks)`; empty if unknown."""
    if usage is None:
        return ""
    spent = usage.cpu_seconds
    words = [f"cpu {spent:.2f}s" if spent < 10 else f"cpu {units.seconds(spent)}"]
    if usage.memory_peak is not None:
        words.append(f"memory {units.size(usage.memory_peak)}")
    moved = ((usage.read_bytes, "read"), (usage.written_bytes, "written"))
    if disk := " ".join(f"{units.size(count)} {way}" for count, way in moved if count):
        words.append(f"disk {disk}")
    if usage.pids_peak is not None:
        words.append(units.plural(usage.pids_peak, "task"))
    return f" ({', '.join(words)})"


def warning(event: Warned) -> str:
    """One line about something to look at."""
    where = f" --> {event.span}" if event.span.text is not None else ""
    rule = f"{event.rule}: " if event.rule else ""
    return f"warning: {rule}{event.message}{where}"

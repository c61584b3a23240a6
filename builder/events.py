"""What a build tells while it happens: frozen values, and as JSON lines a public format.

Every event names steps by the ids that `Planned` introduced. An event carries no time: whoever draws
or writes it stamps it. `to_json` is the wire form: `{"event": "step_started", "step": 3, …}`; fields may be
added later, never renamed or removed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from builder.span import NOWHERE, Span
from layers.quick import dataclass, fields

if TYPE_CHECKING:
    from layers import Digest, Platform
    from runner import Usage


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step of the plan.

    `title` is what people read: "RUN make", "FROM docker.io/library/debian:12". `stage` is the stage's name or
    number; `position` of `count` counts within it from 1 (the FROM is 1). `needs` are the steps whose results it uses.
    """

    id: int
    title: str
    stage: str
    position: int
    count: int
    needs: tuple[int, ...] = ()
    span: Span = NOWHERE
    platform: Platform | None = None


@dataclass(frozen=True, slots=True)
class Planned:
    """The plan is made: these steps, in an order in which they could run. Comes once for each platform."""

    steps: tuple[PlannedStep, ...]


@dataclass(frozen=True, slots=True)
class StepWaiting:
    """Another build is at the same step now: what it makes is taken. `process` is its number, if it is of another."""

    step: int
    process: int


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A step really begins to work: the cache did not know it."""

    step: int
    reason: str = ""
    """Why it is made anew, where that is known: the first input that differs from last time."""
    changes: tuple[str, ...] = ()
    """Every input that differs, if that was asked for."""


@dataclass(frozen=True, slots=True)
class StepCached:
    """The result of a step was known; nothing ran. `seconds` and `usage` are of the run that made it."""

    step: int
    seconds: float | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class StepOutput:
    """A piece of what a command wrote. `stream` is 1 (stdout) or 2 (stderr); pieces need not be whole lines."""

    step: int
    stream: int
    data: bytes


@dataclass(frozen=True, slots=True)
class StepProgress:
    """Bytes moved so far by a step; `total` None if nobody can know. `what` says what is moved."""

    step: int
    what: str
    done: int
    total: int | None = None


@dataclass(frozen=True, slots=True)
class StepFinished:
    """A step made its layer. `size`: bytes of its tar, None if it makes none; `usage`: of its command."""

    step: int
    seconds: float
    usage: Usage | None = None
    size: int | None = None
    diff_id: Digest | None = None


@dataclass(frozen=True, slots=True)
class StepFailed:
    """A step could not make its layer; the steps that had not begun are skipped.

    `exit_code` is the command's, None if it was not a command that failed. `kept` names the file system that
    the failed command left, for `run` and `commit --failed`.
    """

    step: int
    message: str
    seconds: float = 0.0
    exit_code: int | None = None
    oom_killed: bool = False
    timed_out: bool = False
    hint: str = ""
    usage: Usage | None = None
    kept: str = ""


@dataclass(frozen=True, slots=True)
class Warned:
    """Something to look at that does not stop the build. `rule` is a name such as "UndefinedVar", "" for none."""

    message: str
    rule: str = ""
    span: Span = NOWHERE
    step: int | None = None
    url: str = ""
    """Where the rule is explained."""


@dataclass(frozen=True, slots=True)
class Exported:
    """An output is complete. `kind`: of what sort it is, as below; `name`: a tag, file or directory."""

    kind: Literal["store", "oci", "docker", "tar", "local", "registry", "cache"]
    name: str
    digest: Digest | None = None
    size: int | None = None


Event = (
    Planned
    | StepWaiting
    | StepStarted
    | StepCached
    | StepOutput
    | StepProgress
    | StepFinished
    | StepFailed
    | Warned
    | Exported
)


def to_json(event: Event) -> dict[str, Any]:
    """The public form of an event; fields that say nothing are left out."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()
    return {"event": name, **_object(event)}


def _object(value: Any) -> dict[str, Any]:
    found = {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return {key: word for key, word in found.items() if word not in (None, "", [])}


def _plain(value: Any) -> Any:
    """JSON for one field."""
    if isinstance(value, Span):
        if value.text is None:
            return None
        return {"file": value.text.name, "line": value.line, "column": value.column, "end_line": value.end_line}
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, PlannedStep) or type(value).__name__ == "Usage":
        return _object(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)

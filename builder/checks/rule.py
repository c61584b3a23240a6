"""Rules as data, what they find, and how that is mended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

from builder.span import Span
from layers.quick import dataclass

if TYPE_CHECKING:
    from builder.checks.subject import Subject, Visit

Severity = Literal["error", "warning", "info"]
"""From bad to harmless."""
DOCS = "https://docs.docker.com/go/dockerfile/rule/"


@dataclass(frozen=True, slots=True)
class Edit:
    """Put `text` in the place of what is at `span`, which lies in one line."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a rule says: a message, where if not at the instruction looked at, and how to mend it mechanically."""

    message: str
    span: Span | None = None
    edits: tuple[Edit, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: a name, a sentence, and a function that looks.

    `of_file` looks at the Dockerfile as a whole, `of` at one instruction of the kinds named in `on` (classes of
    `builder.dockerfile`; none named: all), in the stages that are checked. `aliases` are what hadolint calls it. An
    experimental rule is silent until it is asked for.
    """

    name: str
    description: str
    url: str = ""
    severity: Severity = "warning"
    aliases: tuple[str, ...] = ()
    experimental: bool = False
    buildkit: bool = True
    on: tuple[str, ...] = ()
    of_file: Callable[[Subject], Iterator[Found]] | None = None
    of: Callable[[Visit], Iterator[Found]] | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule, and what it found where."""

    rule: Rule
    message: str
    span: Span
    edits: tuple[Edit, ...] = ()

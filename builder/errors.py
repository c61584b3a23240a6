"""What can go wrong between a Dockerfile and an image.

Every error is a fact with attributes; its text says what, where, why and how to fix it.
Nothing here prints: the roof decides how an error looks.
"""

from __future__ import annotations

from collections.abc import Sequence

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from builder.span import Span
    from runner import Exit


MOST = 50
"""How many errors of one Dockerfile are told; a text that is none has one in every line."""


class BuildError(Exception):
    """Root of all errors of this package."""


class DockerfileError(BuildError):
    """The Dockerfile says something that means nothing, at `span`.

    `what` is one sentence, `help` (may be empty) the exact fix or the suggestion.
    """

    def __init__(self, span: Span, what: str, *, help: str = "") -> None:
        super().__init__(span, what, help)
        self.span = span
        self.what = what
        self.help = help

    def __str__(self) -> str:
        parts = [self.what, f"--> {self.span}", self.span.excerpt()]
        if self.help:
            parts.append(f"help: {self.help}")
        return "\n".join(part for part in parts if part)


class DockerfileErrors(BuildError):
    """Every error of one Dockerfile at once, in the order of the text; never empty."""

    def __init__(self, errors: Sequence[DockerfileError]) -> None:
        self.errors = tuple(sorted(errors, key=lambda error: error.span))
        super().__init__(self.errors)

    def __str__(self) -> str:
        told = list(map(str, self.errors[:MOST]))
        if (more := len(self.errors) - len(told)) > 0:
            told.append(f"and {more} more errors like these")
        return "\n\n".join(told)


class StageMissing(DockerfileError):
    """No stage has the name (or number) that was asked for; `near` are names that look like it."""

    def __init__(self, span: Span, wanted: str, *, near: Sequence[str] = (), what: str = "", help: str = "") -> None:
        guess = f"did you mean {' or '.join(near)}?" if near else ""
        super().__init__(span, what or f"no build stage {wanted!r} in this Dockerfile", help=help or guess)
        self.wanted = wanted
        self.near = tuple(near)


class StageCycle(DockerfileError):
    """Stages need each other in a circle; `stages` names it, the first stage again at the end."""

    def __init__(self, span: Span, stages: Sequence[str]) -> None:
        what = f"circular dependency detected on stage: {stages[0]} ({' → '.join(stages)})"
        super().__init__(span, what, help="break the circle: copy from a stage that does not need this one")
        self.stages = tuple(stages)


class ContextError(BuildError):
    """The files of the build cannot be given as asked (missing, ignored, outside, unreadable)."""

    def __init__(self, what: str, *, span: Span | None = None, help: str = "") -> None:
        super().__init__(what, span, help)
        self.what = what
        self.span = span
        self.help = help

    def __str__(self) -> str:
        where = [f"--> {self.span}", self.span.excerpt()] if self.span else []
        return "\n".join(part for part in (self.what, *where, self.help and f"help: {self.help}") if part)


class StepFailed(BuildError):
    """A step did not make its layer: its command ended badly (`exit`), or `__cause__` tells why.

    `title` is the instruction as the user wrote it; `help` may say what to try. `kept` names the container that holds
    the file system of a failed command; `tail` are the last lines it wrote.
    """

    def __init__(
        self,
        title: str,
        what: str,
        *,
        span: Span | None = None,
        exit: Exit | None = None,
        help: str = "",
        kept: str = "",
        tail: str = "",
    ) -> None:
        super().__init__(title, what, span, exit, help)
        self.title = title
        self.what = what
        self.span = span
        self.exit = exit
        self.help = help
        self.kept = kept
        self.tail = tail

    def __str__(self) -> str:
        where = [f"--> {self.span}", self.span.excerpt()] if self.span else [f"in: {self.title}"]
        return "\n".join(part for part in (self.what, *where, self.help and f"help: {self.help}") if part)


class Cancelled(BuildError):
    """The build was asked to stop before it was done."""

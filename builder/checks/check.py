"""Checking one Dockerfile: every rule that is heard looks at what it looks at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from builder.checks.options import CheckFailed, Options, named, quieted
from builder.checks.rule import Finding, Found, Rule
from builder.checks.subject import Bases, Subject, Visit, visits, whole
from builder.dockerfile import Dockerfile
from builder.errors import DockerfileError
from builder.span import Span
from builder.stages import Stage, Stages, platform_arguments
from layers import Platform
from layers.quick import dataclass

if TYPE_CHECKING:
    from builder.contexts.ignore import Ignore


@dataclass(frozen=True, slots=True)
class Report:
    """What was found, in the order of the file, and what the options make of it."""

    findings: tuple[Finding, ...]
    options: Options

    @property
    def errors(self) -> tuple[DockerfileError, ...]:
        """What strictness makes of the findings that are errors."""
        return tuple(
            DockerfileError(one.span, one.message, help=f"{one.rule.name}; without --strict this is passed over")
            for one in self.findings
            if one.rule.severity == "error"
        )

    @property
    def failure(self) -> CheckFailed | None:
        """The error that it is with `error=true`; None if it is none."""
        return CheckFailed(self.findings) if self.options.error and self.findings else None


def check(
    dockerfile: Dockerfile,
    rules: Iterable[Rule],
    *,
    base: Bases,
    target: str | None = None,
    every_stage: bool = False,
    build_args: Mapping[str, str] | None = None,
    platform: Platform | None = None,
    ignore: Callable[[], Ignore | None] = lambda: None,
    matches: Callable[..., bool] | None = None,
    secrets: frozenset[str] | None = None,
    agents: frozenset[str] | None = None,
    skip: Iterable[str] = (),
    experimental: Iterable[str] = (),
) -> Report:
    """Look at what `target` needs (with `every_stage` at all, unless there is a target) with these rules.

    Raises BuildError for options that mean nothing and for a target that is not there.
    """
    given = build_args or {}
    options = Options.of(dockerfile, given)
    if skip or experimental:
        options = Options(options.skip.union(skip), options.experimental.union(experimental), options.error)
    if "all" in options.skip:
        return Report((), options)
    stages = Stages.of(dockerfile)
    goal = stages.target(target)
    host = Platform.host()
    platform = platform or host
    known = platform_arguments(platform, host, goal)
    scope = _scope(stages, {**known, **given}) or known
    wanted = stages.all if every_stage and target is None else _needed(stages, goal, scope)
    subject = Subject(
        dockerfile,
        stages,
        wanted,
        given,
        known,
        scope,
        _scope(stages, known),
        platform,
        base,
        ignore,
        matches,
        secrets,
        agents,
    )
    heard = [rule for rule in rules if options.hears(rule)]
    quiet = _quiet(subject)
    found = [finding for finding in _look(subject, heard) if not named(quiet.get(finding.span.line, ()), finding.rule)]
    return Report(tuple(sorted(found, key=lambda finding: finding.span.line)), options)


def _look(subject: Subject, rules: Iterable[Rule]) -> Iterator[Finding]:
    kinds: dict[str, list[tuple[Rule, Callable[[Visit], Iterator[Found]]]]] = defaultdict(list)
    everywhere = Span(1, 1, 1, 1, subject.dockerfile.source.text)
    for rule in rules:
        if rule.of_file is not None:
            for found in rule.of_file(subject):
                yield Finding(rule, found.message, found.span or everywhere, found.edits)
        if rule.of is not None:
            for kind in rule.on:
                kinds[kind].append((rule, rule.of))
    for visit in visits(subject) if kinds else ():
        for rule, of in kinds.get(type(visit.instruction).__name__, ()):
            for found in of(visit):
                yield Finding(rule, found.message, found.span or visit.span, found.edits)


def _quiet(subject: Subject) -> dict[int, frozenset[str]]:
    """For each line that an instruction begins on, what comments above it take back."""
    found = {}
    for line in subject.lines:
        if line.comments and (names := quieted(line.comments)):
            span = whole(line)
            found.update(dict.fromkeys(range(span.line, span.end_line + 1), names))
    return found


def _scope(stages: Stages, given: Mapping[str, str]) -> dict[str, str] | None:
    try:
        return stages.scope(given)
    except DockerfileError:
        return None


def _needed(stages: Stages, goal: Stage, scope: Mapping[str, str]) -> tuple[Stage, ...]:
    try:
        return tuple(sorted(stages.order(goal, scope.get), key=lambda stage: stage.index))
    except DockerfileError:  # the plan tells it
        return stages.all

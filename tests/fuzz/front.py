"""The front half on any bytes: parse, stages, plan, checks, mending, outline. `Broken` tells what it must not do."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from builder import BuildError, DockerfileError, DockerfileErrors, Stages
from builder.checks import Finding, check, every
from builder.checks.fix import mended
from builder.checks.strict import strictly
from builder.dockerfile import Dockerfile, draw, parse, plain, tree
from builder.graph import BaseImage
from builder.outline import outline, targets
from builder.planning.plan import Planner
from builder.request import BuildRequest
from builder.span import Span
from layers import Platform, Reference
from pybuild.checking import unknown
from pybuild.formats import checks

AMD64 = Platform.parse("linux/amd64")
SECONDS = 10.0
"""Longer than this, and an input hangs us."""


class Broken(AssertionError):
    """A promise of the front half that an input broke."""


class Hung(Exception):
    """The time is over."""


@contextmanager
def limited(seconds: float = SECONDS) -> Iterator[None]:
    """Raise Hung after so much time; in the main thread only."""

    def ring(*_: object) -> None:
        raise Hung

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def feed(data: bytes) -> None:
    """Take one input all the way. Raises Broken."""
    try:
        with limited():
            _feed(data)
    except Hung:
        raise Broken(f"it takes longer than {SECONDS} s") from None


def _feed(data: bytes) -> None:
    try:
        dockerfile = parse(data)
    except DockerfileErrors as error:
        for one in error.errors:
            located(one, data)
        str(error)
        return
    for line in dockerfile.source.lines:
        list(draw(tree(line, dockerfile.escape)))
    for instruction in dockerfile.instructions:
        plain(instruction)
    planned(dockerfile, data)
    try:
        found = findings(dockerfile)
    except BuildError as error:
        if not str(error).startswith("failed to parse check options"):
            raise Broken(f"checks raise {error}") from error
        return
    told(found, data)
    better, _ = mended(data, lambda source: findings(parse(source)))
    again, more = mended(better, lambda source: findings(parse(source)))
    if again != better:
        raise Broken(f"mending is not done after it: {[one.rule.name for one in more]}")
    if len(parse(better).instructions) != len(dockerfile.instructions):
        raise Broken("mending changes how many instructions there are")
    targets(dockerfile)


def planned(dockerfile: Dockerfile, data: bytes) -> None:
    """Plan every stage."""
    stages = Stages.of(dockerfile)
    try:
        planner = Planner(stages, BuildRequest(context=None, text=data), AMD64, AMD64, images)
        stages.order(stages.target(), planner.scope.get)
        outline(dockerfile, None, {}, AMD64)
    except DockerfileError as error:
        located(error, data)
        return
    for stage in stages.all:
        try:
            planner.result(stage)
        except DockerfileErrors as error:
            for one in error.errors:  # an ONBUILD of a stage: the place is in a text of its own
                str(one)
        except DockerfileError as error:
            located(error, data)


def images(reference: Reference, platform: Platform, span: Span) -> BaseImage:
    """Every image is there, and nothing is known of it."""
    return unknown(reference, platform)


def findings(dockerfile: Dockerfile) -> tuple[Finding, ...]:
    """What all rules say, at their strictest."""
    return check(
        dockerfile,
        strictly(every()),
        base=lambda *_: None,
        every_stage=True,
        experimental=("all",),
        platform=AMD64,
        matches=lambda _, **__: False,
        secrets=frozenset(),
    ).findings


def told(found: tuple[Finding, ...], data: bytes) -> None:
    """What was found can be told in every form, and has a place in the file."""
    count = data.count(b"\n") + 1
    for finding in found:
        if not 1 <= finding.span.line <= finding.span.end_line <= count:
            raise Broken(f"{finding.rule.name} is told of line {finding.span.line}-{finding.span.end_line} of {count}")
    list(checks.text(found))
    list(checks.github(found, "Dockerfile"))
    checks.sarif(found, "Dockerfile")
    checks.data(found, "Dockerfile", data)


def located(error: DockerfileError, data: bytes) -> None:
    """An error says where it is, and the place exists."""
    span = error.span
    if span.text is None:
        raise Broken(f"no place: {error.what}")
    if span.text.name == "Dockerfile" and not 1 <= span.line <= span.end_line <= data.count(b"\n") + 1:
        raise Broken(f"no such lines {span.line}-{span.end_line}: {error.what}")
    span.excerpt()

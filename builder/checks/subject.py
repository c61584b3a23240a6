"""What rules look at: a Dockerfile as a whole, and each instruction with what is known where it stands."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from builder.dockerfile import (
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    From,
    Healthcheck,
    Instruction,
    OnBuild,
    Shell,
    User,
    Word,
    Workdir,
    expand,
    parse_onbuild,
)
from builder.dockerfile import Dockerfile as File
from builder.dockerfile.fold import LogicalLine
from builder.errors import BuildError, DockerfileError
from builder.graph import BaseImage
from builder.process import DEFAULT_PATH, assignments
from builder.span import Span
from builder.stages import SCRATCH, Stage, Stages
from layers import DocumentInvalid, Platform
from layers.quick import dataclass, field, replace

if TYPE_CHECKING:
    from builder.checks.nearby import Nearby
    from builder.contexts.ignore import Ignore

Bases = Callable[[str, Platform, Span], BaseImage | None]
"""Finds a base image by what FROM calls it; None if it is not known without effort."""
LAST_COUNTS = (Cmd, Entrypoint, Healthcheck)


@dataclass(frozen=True, slots=True)
class Subject:
    """One Dockerfile and the build it is for.

    `wanted`: the stages that are checked, in the order of the file. `known`: the platform's variables; `scope`: those
    of FROM lines, `defaults` the same without build arguments (None: they have no value). `ignore` reads the ignore
    file, None without one; `matches` says whether a source has files in the context (`wildcards`), None without one.
    `secrets`, `agents`: those that the build is given, None if nobody knows.
    """

    dockerfile: File
    stages: Stages
    wanted: tuple[Stage, ...]
    build_args: Mapping[str, str]
    known: Mapping[str, str]
    scope: Mapping[str, str]
    defaults: Mapping[str, str] | None
    platform: Platform
    base: Bases
    ignore: Callable[[], Ignore | None] = lambda: None
    matches: Callable[..., bool] | None = None
    secrets: frozenset[str] | None = None
    agents: frozenset[str] | None = None

    @property
    def lines(self) -> tuple[LogicalLine, ...]:
        """The logical lines, one an instruction."""
        return self.dockerfile.source.lines

    def pairs(self) -> Iterator[tuple[Instruction, LogicalLine]]:
        """Every instruction, and the line it was written as."""
        return zip(self.dockerfile.instructions, self.lines, strict=True)


@dataclass(slots=True)
class Standing:
    """What is known at one place of a stage. `certain`: the base image is known, so ENV is whole.

    `declared` are the ARGs, with or without a value. `last` are the CMD, ENTRYPOINT and HEALTHCHECK met in the stage.
    """

    env: dict[str, str]
    declared: set[str] = field(default_factory=set)
    assigned: set[str] = field(default_factory=set)
    """What ENV has set, here or in the stages that this one is from."""
    certain: bool = True
    shell: tuple[str, ...] = ()
    cwd: str = ""
    """The working directory as far as this file says it; "" if only the base image knows."""
    workdir_set: bool = False
    user: str = ""
    cmd: bool = False
    """Whether there is a CMD, inherited or not."""
    triggers: tuple[str, ...] = ()
    last: dict[str, Visit] = field(default_factory=dict)
    written: dict[str, int] = field(default_factory=dict)
    """What COPY and ADD have made in this stage, and in which line."""
    programs: set[str] = field(default_factory=set)
    """Programs that RUN has called in this stage, of those that a rule remembers."""
    near: Nearby | None = None
    """Finds names of `env`, since somebody asked."""

    def child(self) -> Standing:
        """Where a stage begins that is FROM the one that ended here."""
        return replace(
            self,
            env=dict(self.env),
            declared=set(self.declared),
            assigned=set(self.assigned),
            triggers=(),
            last={},
            written={},
            programs=set(),
            near=None,
        )

    def nearest(self, name: str) -> str:
        """The name in `env` that is meant by one that is not; "" if none is near."""
        if self.near is None:
            from builder.checks.nearby import Nearby

            self.near = Nearby()
        return self.near.nearest(name, self.env)


@dataclass(frozen=True, slots=True)
class Visit:
    """One instruction, where it stands. `line` is None for an ONBUILD trigger; then `span` is that of the FROM."""

    subject: Subject
    stage: Stage
    instruction: Instruction
    line: LogicalLine | None
    at: Standing
    span: Span
    number: int = -1
    """Which instruction of the stage it is; -1 for a trigger."""

    @property
    def keyword(self) -> str:
        """The name of the instruction as it is written."""
        return keyword(self.instruction)

    def text(self, word: Word) -> str:
        """What a word stands for here; "" if that is an error."""
        return value(word, self.at.env)

    @property
    def before(self) -> Instruction | None:
        """The instruction before it in the stage."""
        return self.stage.instructions[self.number - 1] if self.number > 0 else None


def keyword(instruction: Instruction) -> str:
    """The name of an instruction as it is written."""
    found = instruction.text.split(maxsplit=1)
    return found[0] if found else type(instruction).__name__.upper()


def value(word: Word, variables: Mapping[str, str]) -> str:
    """What a word stands for; "" if it cannot be expanded, which is told elsewhere."""
    if "$" not in word.text and word.text.isalnum():
        return word.text
    try:
        return expand(word, variables.get)
    except DockerfileError:
        return ""


def whole(line: LogicalLine, instruction: Instruction | None = None) -> Span:
    """All the lines of an instruction, its here-documents included."""
    span = line.span() if instruction is None else instruction.span
    if not line.heredocs:
        return span
    last = line.heredocs[-1]
    end = last.line + last.body.count("\n")
    return Span(span.line, span.column, end, len(last.name) + 1, span.text)


def visits(subject: Subject) -> Iterator[Visit]:
    """Every instruction of the wanted stages, FROM first. What it stands on changes behind it: do not keep it."""
    lines = dict(zip(map(id, subject.dockerfile.instructions), subject.lines, strict=True))
    wanted = {stage.index for stage in subject.wanted}
    ends: dict[int, Standing] = {}
    for stage in subject.stages.all:
        base = subject.stages.base(stage, value(stage.opening.image, subject.scope))
        if stage.index not in wanted:
            continue
        above = ends.get(base.index) if base is not None else None
        at = above.child() if above is not None else _start(subject, stage)
        ends[stage.index] = at
        opening = whole(lines[id(stage.opening)], stage.opening)
        yield Visit(subject, stage, stage.opening, lines[id(stage.opening)], at, opening)
        for trigger in above.triggers if above is not None else at.triggers:
            try:
                instruction = parse_onbuild(trigger)
            except BuildError:
                continue
            visit = Visit(subject, stage, instruction, None, at, opening)
            yield visit
            _pass(visit)
        at.triggers = ()
        for number, instruction in enumerate(stage.instructions):
            line = lines[id(instruction)]
            visit = Visit(subject, stage, instruction, line, at, whole(line, instruction), number)
            yield visit
            _pass(visit)


def _start(subject: Subject, stage: Stage) -> Standing:
    """What an image brings along."""
    name = value(stage.opening.image, subject.scope)
    if name.lower() == SCRATCH:
        return Standing({"PATH": DEFAULT_PATH})
    image = subject.base(name, _platform(subject, stage.opening), stage.span) if name else None
    if image is None:
        return Standing({"PATH": DEFAULT_PATH}, certain=False)
    runtime = image.config.runtime
    return Standing(
        {"PATH": DEFAULT_PATH, **assignments(runtime.get("Env") or ())},
        shell=tuple(runtime.get("Shell") or ()),
        user=str(runtime.get("User") or ""),
        cmd=bool(runtime.get("Cmd")),
        triggers=tuple(runtime.get("OnBuild") or ()),
    )


def _platform(subject: Subject, opening: From) -> Platform:
    try:
        return Platform.parse(value(opening.platform, subject.scope)) if opening.platform else subject.platform
    except DocumentInvalid:  # told by the plan
        return subject.platform


def _pass(visit: Visit) -> None:
    """Go over an instruction: what is known behind it."""
    at, instruction = visit.at, visit.instruction
    if isinstance(instruction, Env):
        pairs = [(visit.text(pair.key), visit.text(pair.value)) for pair in instruction.pairs]
        at.env.update(pairs)
        at.assigned.update(key for key, _ in pairs)
    elif isinstance(instruction, Arg):
        for declaration in instruction.declarations:
            name = visit.text(declaration.name)
            given = visit.subject.build_args.get(name)
            if given is None and declaration.default is not None:
                given = visit.text(declaration.default)
            elif given is None:
                given = visit.subject.scope.get(name)
            at.declared.add(name)
            if given is not None:
                at.env[name] = given
    elif isinstance(instruction, Shell):
        at.shell = instruction.args
    elif isinstance(instruction, User):
        at.user = visit.text(instruction.user)
    elif isinstance(instruction, Workdir):
        path = visit.text(instruction.path)
        if path.startswith("/") or at.cwd:
            at.cwd = posixpath.normpath(posixpath.join(at.cwd, path))
        at.workdir_set = True
    elif isinstance(instruction, OnBuild):
        at.triggers = (*at.triggers, instruction.trigger)
    elif isinstance(instruction, Copy | Add):
        dest = visit.text(instruction.dest)
        place = posixpath.normpath(posixpath.join(at.cwd or "/", dest))
        at.written[place] = visit.span.line
        if dest.endswith("/") or dest in (".", ""):
            names = [visit.text(word) for word in instruction.sources]
            bases = (posixpath.basename(name.rstrip("/")) for name in names if name.rstrip("/") not in ("", "."))
            at.written.update({posixpath.join(place, base): visit.span.line for base in bases})
    elif isinstance(instruction, LAST_COUNTS):
        at.cmd = isinstance(instruction, Cmd) or (at.cmd and not isinstance(instruction, Entrypoint))
        at.last[type(instruction).__name__] = visit

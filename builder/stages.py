"""The stages of a Dockerfile: which there are, and which needs which.

Names of stages know no case; an earlier stage hides an image of the same name, a later stage of the same name hides
the earlier. FROM sees only the stages before it; `--from` sees later ones too, as long as nothing goes in a circle
(Dockerfile reference, "FROM" and "COPY --from"; BuildKit's meaning).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from heapq import heappop, heappush

from builder.dockerfile import Arg, Copy, Dockerfile, From, Instruction, Run, Word, expand, nearest
from builder.dockerfile.expansion import Lookup
from builder.errors import DockerfileError, StageCycle, StageMissing
from builder.span import Span
from layers import Platform
from layers.quick import dataclass, field, replace

VARIABLE = re.compile(r"\$.")
"""What is expanded where BuildKit expands nothing: `--from` and `--exclude` of COPY and ADD."""
SCRATCH = "scratch"
"""The image without anything in it; never the name of a stage."""

_IMAGE_LIKE = re.compile(r"[/:@.]")


@dataclass(frozen=True, slots=True)
class Stage:
    """A FROM and what follows it. `name` is in lower case, "" if it has none."""

    index: int
    opening: From = field(hash=False)
    instructions: tuple[Instruction, ...] = field(hash=False)

    @property
    def name(self) -> str:
        """What `--from` and `--target` call it."""
        return (self.opening.name or "").lower()

    @property
    def title(self) -> str:
        """Its name, or `stage-2`."""
        return self.name or f"stage-{self.index}"

    @property
    def span(self) -> Span:
        """Its FROM line."""
        return self.opening.span

    def sources(self) -> Iterator[tuple[str, Span]]:
        """All that `--from` names in it, in order: stages by name or number, images."""
        return (found for instruction in self.instructions for found in sources(instruction))


@dataclass(frozen=True, slots=True)
class Stages:
    """All stages of a file, and the ARGs before the first of them."""

    arguments: tuple[Arg, ...]
    all: tuple[Stage, ...]
    _last: Mapping[str, Stage] = field(init=False, repr=False, compare=False)
    """Each name, and the last stage of it."""
    _called: Mapping[str, Sequence[int]] = field(init=False, repr=False, compare=False)
    """Each name, and all stages of it by number."""

    def __post_init__(self) -> None:
        called: dict[str, list[int]] = {}
        for stage in self.all:
            if stage.name:
                called.setdefault(stage.name, []).append(stage.index)
        object.__setattr__(self, "_called", called)
        object.__setattr__(self, "_last", {name: self.all[found[-1]] for name, found in called.items()})

    @classmethod
    def of(cls, dockerfile: Dockerfile) -> Stages:
        """The stages of a parsed file, which has at least one."""
        instructions = dockerfile.instructions
        starts = [at for at, instruction in enumerate(instructions) if isinstance(instruction, From)]
        found: list[Stage] = []
        for index, (start, end) in enumerate(zip(starts, [*starts[1:], len(instructions)], strict=True)):
            opening = instructions[start]
            assert isinstance(opening, From)
            found.append(Stage(index, opening, instructions[start + 1 : end]))
        arguments = tuple(argument for argument in instructions[: starts[0]] if isinstance(argument, Arg))
        return cls(arguments, tuple(found))

    def without(self, replaced: Callable[[str], bool]) -> Stages:
        """The same stages, but those whose name something else stands for: they begin with nothing and do nothing."""
        nothing = Word(SCRATCH)
        found = [
            replace(stage, opening=replace(stage.opening, image=replace(nothing, span=stage.span)), instructions=())
            if stage.name and replaced(stage.name)
            else stage
            for stage in self.all
        ]
        return Stages(self.arguments, tuple(found))

    def scope(self, given: Mapping[str, str]) -> dict[str, str]:
        """The variables that FROM lines may use: the ARGs before the first FROM, with their values.

        `given` are build arguments over the platform's (TARGETARCH and its like): they win over a default, which is
        then not even looked at. Raises DockerfileError.
        """
        values = dict(given)
        for argument in self.arguments:
            for declaration in argument.declarations:
                name = declaration.name.text
                if name not in given and declaration.default is not None:
                    values[name] = expand(declaration.default, values.get)
        return values

    def target(self, name: str | None = None) -> Stage:
        """The stage to build, the last one by default; raises StageMissing."""
        if name is None:
            return self.all[-1]
        found = self._last.get(name.lower())
        if found is None:
            last = self.all[-1].span
            names = ", ".join(self._last) or "none has a name"
            what = f"target stage {name!r} could not be found"
            help = "" if self.near(name) else f"the stages are: {names}"
            raise StageMissing(last, name, near=self.near(name), what=what, help=help)
        return found

    def base(self, stage: Stage, image: str) -> Stage | None:
        """The earlier stage that `FROM image` (expanded) of `stage` means; None for an image or scratch."""
        called = self._called.get(image.lower(), ())
        earlier = bisect_left(called, stage.index)
        return self.all[called[earlier - 1]] if earlier else None

    def source(self, stage: Stage, wanted: str, span: Span) -> Stage | None:
        """The stage that `--from=wanted` in `stage` means; None for an image.

        Raises StageMissing for a number that is none of an earlier stage, StageCycle for the stage itself.
        """
        if re.fullmatch("[0-9]+", wanted, re.ASCII):
            if len(wanted) > 9 or int(wanted) >= stage.index:
                help = f"stages before this one are 0 to {stage.index - 1}" if stage.index else "this is the first one"
                raise StageMissing(span, wanted, what=f"invalid stage index {wanted}: no earlier stage", help=help)
            return self.all[int(wanted)]
        found = self._last.get(wanted.lower())
        if found is stage:
            raise StageCycle(span, (stage.title, stage.title))
        return found

    def near(self, wanted: str) -> tuple[str, ...]:
        """The names of stages that `wanted` may be a slip of the pen for; none if it can only be an image."""
        return () if _IMAGE_LIKE.search(wanted) else nearest(wanted, self._last)

    def missing(self, wanted: str, span: Span) -> StageMissing | None:
        """What to say instead of asking a registry for `wanted`, if it looks like a stage's misspelt name."""
        near = self.near(wanted)
        if not near or wanted.lower() == SCRATCH:
            return None
        known = " or ".join(f"{name} (line {self._last[name].span.line})" for name in near)
        help = f"did you mean {known}? For an image write docker.io/library/{wanted.lower()}"
        return StageMissing(span, wanted, near=near, help=help)

    def image(self, stage: Stage, lookup: Lookup) -> str:
        """What the FROM of `stage` names, expanded with the variables of `scope`; raises DockerfileError."""
        image = expand(stage.opening.image, lookup)
        if not image.strip():
            help = "a variable in it is empty: declare it by ARG before the first FROM, or give it a default"
            raise DockerfileError(stage.opening.image.span, "base name should not be blank", help=help)
        return image

    def needs(self, stage: Stage, lookup: Lookup) -> dict[Stage, Span]:
        """The stages that `stage` is made from, and where it says so; raises DockerfileError."""
        base = self.base(stage, self.image(stage, lookup))
        found = {} if base is None else {base: stage.span}
        for wanted, span in stage.sources():
            if (other := self.source(stage, wanted, span)) is not None:
                found.setdefault(other, span)
        return found

    def order(self, target: Stage, lookup: Lookup) -> tuple[Stage, ...]:
        """`target` and all that it needs, each after what it needs itself, else as they stand in the file.

        ONBUILD triggers are not known here. Raises DockerfileError, and StageCycle for a circle anywhere in the file.
        """
        needs = {stage: self.needs(stage, lookup) for stage in self.all}
        sorter = TopologicalSorter({stage.index: [other.index for other in needs[stage]] for stage in self.all})
        try:
            sorter.prepare()
        except CycleError as error:
            raise _cycle([self.all[index] for index in error.args[1]], needs) from None
        wanted, waiting = {target}, [target]
        while waiting:
            new = needs[waiting.pop()].keys() - wanted
            wanted |= new
            waiting += new
        ready, found = list[int](), list[Stage]()
        while sorter.is_active():
            for index in sorter.get_ready():
                heappush(ready, index)
            first = heappop(ready)
            sorter.done(first)
            if self.all[first] in wanted:
                found.append(self.all[first])
        return tuple(found)


def platform_arguments(target: Platform, build: Platform, goal: Stage) -> dict[str, str]:
    """The ARGs that every FROM line may use: TARGETARCH and its like, and TARGETSTAGE, the name of the stage built."""
    found = {"TARGETSTAGE": goal.name or "default"}
    for side, platform in (("TARGET", target), ("BUILD", build)):
        found |= {
            f"{side}PLATFORM": str(platform),
            f"{side}OS": platform.os,
            f"{side}OSVERSION": platform.os_version or "",
            f"{side}ARCH": platform.architecture,
            f"{side}VARIANT": platform.variant or "",
        }
    return found


def _cycle(circle: list[Stage], needs: Mapping[Stage, Mapping[Stage, Span]]) -> StageCycle:
    """The error for a circle in which each stage is needed by the next; told from the first one in the file on."""
    members = circle[:0:-1]
    start = members.index(min(members, key=lambda stage: stage.index))
    members = [*members[start:], *members[:start], members[start]]
    return StageCycle(needs[members[0]][members[1]], tuple(stage.title for stage in members))


def sources(instruction: Instruction) -> Iterator[tuple[str, Span]]:
    """What one instruction takes files from, besides the context and its own stage."""
    match instruction:
        case Copy(from_=str(wanted)) if not VARIABLE.search(wanted):
            yield wanted, flagged(instruction, f"--from={wanted}")
        case Run(mounts=mounts):
            for mount in mounts:
                yield from ((value, mount.span) for key, value in mount.options if key == "from" and value)
        case _:
            return


def flagged(instruction: Instruction, flag: str) -> Span:
    """Where a flag stands in an instruction of one line; the instruction, if it is folded."""
    span, at = instruction.span, instruction.text.find(flag)
    if at < 0 or span.line != span.end_line:
        return span
    return replace(span, column=span.column + at, end_column=span.column + at + len(flag))

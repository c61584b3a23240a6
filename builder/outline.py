"""What a Dockerfile offers its users: its targets, and what a build of one takes (build arguments, secrets, agents).

The values are those that BuildKit's `--call=targets` and `--call=outline` tell. A description is the comment right
above an ARG or FROM that begins with the name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from builder.checks.origin import missing
from builder.checks.subject import value, whole
from builder.dockerfile import Arg, Dockerfile, Run, Word, resolve
from builder.dockerfile.fold import LogicalLine
from builder.errors import DockerfileError
from builder.span import Span
from builder.stages import Stage, Stages, platform_arguments
from layers import Platform
from layers.quick import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """One stage. `base` and `platform` are as written."""

    name: str
    description: str
    base: str
    platform: str
    default: bool
    span: Span


@dataclass(frozen=True, slots=True)
class Argument:
    """An ARG that decides something, its value in this build, and where it was declared with it."""

    name: str
    description: str
    value: str
    span: Span


@dataclass(frozen=True, slots=True)
class Need:
    """A secret, an agent or a cache that a RUN mounts."""

    name: str
    required: bool
    span: Span


@dataclass(frozen=True, slots=True)
class Outline:
    """What building one target takes."""

    name: str
    description: str
    arguments: tuple[Argument, ...]
    secrets: tuple[Need, ...]
    agents: tuple[Need, ...]
    caches: tuple[Need, ...]


def targets(dockerfile: Dockerfile) -> tuple[Target, ...]:
    """Every stage, in order."""
    stages, lines = Stages.of(dockerfile), _lines(dockerfile)
    return tuple(
        Target(
            stage.name,
            _described(lines[id(stage.opening)], stage.name),
            stage.opening.image.text,
            stage.opening.platform.text if stage.opening.platform else "",
            stage is stages.all[-1],
            whole(lines[id(stage.opening)]),
        )
        for stage in stages.all
    )


def outline(
    dockerfile: Dockerfile, target: str | None, build_args: Mapping[str, str], platform: Platform | None = None
) -> Outline:
    """What a build of the target takes. Raises DockerfileError."""
    host = Platform.host()
    stages, lines = Stages.of(dockerfile), _lines(dockerfile)
    goal = stages.target(target)
    known = platform_arguments(platform or host, host, goal)
    scope = stages.scope({**known, **build_args})
    reader = _Reader(stages, lines, build_args, scope, known)
    for stage in stages.order(goal, scope.get):
        reader.read(stage)
    return Outline(
        goal.name,
        _described(lines[id(goal.opening)], goal.name),
        tuple(sorted(reader.arguments.values(), key=lambda one: one.span)),
        *(tuple(reader.needs[kind].values()) for kind in ("secret", "ssh", "cache")),
    )


class _Reader:
    """What the stages that were read so far take."""

    def __init__(
        self,
        stages: Stages,
        lines: Mapping[int, LogicalLine],
        build_args: Mapping[str, str],
        scope: Mapping[str, str],
        known: Mapping[str, str],
    ) -> None:
        self.stages = stages
        self.lines = lines
        self.build_args = build_args
        self.scope = scope
        self.known = known
        self.arguments: dict[str, Argument] = {}
        self.needs: dict[str, dict[str, Need]] = {"secret": {}, "ssh": {}, "cache": {}}
        self._global = dict(self._declared(stages.arguments, scope))
        self._ends: dict[int, dict[str, str]] = {}

    def read(self, stage: Stage) -> None:
        """Read a stage whose bases have been read."""
        for word in filter(None, (stage.opening.image, stage.opening.platform)):
            self._use(word)
        base = self.stages.base(stage, value(stage.opening.image, self.scope))
        env = dict(self._ends.get(base.index, {})) if base is not None else {}
        for instruction in stage.instructions:
            if isinstance(instruction, Arg):
                for name, argument in self._declared((instruction,), env):
                    self._declare(name, argument, instruction, env)
            elif isinstance(instruction, Run):
                self._mounted(instruction, env)
        self._ends[stage.index] = env

    def _declared(self, arguments: tuple[Arg, ...], variables: Mapping[str, str]) -> Iterator[tuple[str, Argument]]:
        for argument in arguments:
            line = self.lines[id(argument)]
            for declaration in argument.declarations:
                name = declaration.name.text
                default = "" if declaration.default is None else value(declaration.default, variables)
                text = self.build_args.get(name, default)
                yield name, Argument(name, _described(line, name), text, whole(line))

    def _declare(self, name: str, argument: Argument, instruction: Arg, env: dict[str, str]) -> None:
        plain = next((one for one in instruction.declarations if one.name.text == name), None)
        if (plain is None or plain.default is None) and name not in self.build_args and name in self.scope:
            env[name] = self.scope[name]
            self._use(Word(f"${name}"))
        else:
            env[name] = argument.value
            self.arguments[name] = argument

    def _use(self, word: Word) -> None:
        """An ARG above the first FROM is used, and those that its default uses."""
        for name in missing(word, self.scope)[0]:
            if name in self._global and name not in self.arguments:
                self.arguments[name] = self._global[name]
                for argument in self.stages.arguments:
                    for declaration in argument.declarations:
                        if declaration.default is not None and declaration.name.text == name:
                            self._use(declaration.default)

    def _mounted(self, instruction: Run, env: Mapping[str, str]) -> None:
        for flag in instruction.mounts:
            try:
                mount = resolve(flag, env.get)
            except DockerfileError:
                continue  # told by the plan
            if mount.type in self.needs:
                name = mount.id or (mount.target.rpartition("/")[2] if mount.type == "secret" else "")
                name = name or (mount.target if mount.type == "cache" else "default")
                need = Need(name, mount.required, whole(self.lines[id(instruction)]))
                self.needs[mount.type].setdefault(name, need)


def _lines(dockerfile: Dockerfile) -> dict[int, LogicalLine]:
    return dict(zip(map(id, dockerfile.instructions), dockerfile.source.lines, strict=True))


def _described(line: LogicalLine, name: str) -> str:
    """The first comment above a line that begins with the name, without it."""
    said = (comment.partition(" ") for comment in line.comments)
    return next((text.strip() for word, _, text in said if name and word == name), "")

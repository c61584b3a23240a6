"""From stages to the graph of steps: variables get their values, config is folded up, file-system work becomes steps.

Only what the target needs is planned. Instructions that change nothing but the config make no step, so they never
invalidate one; all that later phases must know of them is in the outcome's config and history.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import field, replace
from functools import singledispatchmethod
from typing import Any

from builder import metadata
from builder.dockerfile import (
    Add,
    Arg,
    Cmd,
    Copy,
    Dockerfile,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Instruction,
    Label,
    Maintainer,
    OnBuild,
    Run,
    Shell,
    ShellForm,
    StopSignal,
    User,
    Volume,
    Word,
    Workdir,
    expand,
    expand_heredoc,
    parse_onbuild,
    resolve,
    words,
)
from builder.errors import DockerfileError
from builder.graph import Base, BaseImage, BuildGraph, Line, Mkdir, Op, Outcome, Script, Step
from builder.graph import Copy as CopyOp
from builder.graph import Run as RunOp
from builder.mounts import Mounted, SshMount, in_namespace, mounted
from builder.process import DEFAULT_PATH, assignments
from builder.request import BuildRequest
from builder.span import NOWHERE, Span
from builder.stages import SCRATCH, Stage, Stages, platform_arguments
from layers import DocumentInvalid, History, Platform, Reference, ReferenceInvalid
from layers.quick import dataclass

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
PROXY_NAMES = frozenset((*PROXIES, *(name.lower() for name in PROXIES)))
UNUSED_IS_FINE = PROXY_NAMES | {"SOURCE_DATE_EPOCH"}
MAGIC = "BUILDKIT_"
"""How arguments begin that are for the builder, not for the Dockerfile."""
REMOTE = ("http://", "https://", "git://", "git@", "ssh://")

Images = Callable[[Reference, Platform, Span], BaseImage]
"""Finds a base image: here, or in its registry."""


@dataclass(frozen=True, slots=True)
class State:
    """Where a stage has come to; each instruction makes the next one of it.

    `arguments` are the declared ARGs in order, None for one without a value. `cmd_set`: CMD was given in this stage,
    so ENTRYPOINT keeps it.
    """

    top: int
    platform: Platform
    runtime: Mapping[str, Any]
    base: BaseImage | None
    history: tuple[History, ...]
    lines: tuple[Line, ...] = ()
    arguments: Mapping[str, str | None] = field(default_factory=dict)
    shell: tuple[str, ...] = metadata.DEFAULT_SHELL
    triggers: tuple[str, ...] = ()
    author: str = ""
    cmd_set: bool = False

    @property
    def env(self) -> dict[str, str]:
        """What ENV has set."""
        return assignments(self.runtime.get("Env") or ())

    @property
    def variables(self) -> dict[str, str]:
        """What expansions see: ARG, and over it ENV."""
        return {**{key: value for key, value in self.arguments.items() if value is not None}, **self.env}

    @property
    def cwd(self) -> str:
        """The working directory of commands, clean and absolute."""
        return posixpath.normpath("/" + str(self.runtime.get("WorkingDir") or "/").lstrip("/"))

    @property
    def user(self) -> str:
        """The text of USER."""
        return str(self.runtime.get("User") or "")

    def told(self, created_by: str, step: int | None = None) -> State:
        """With one more line of history."""
        return replace(self, lines=(*self.lines, Line(created_by, step)), top=self.top if step is None else step)

    def config(self, **changes: Any) -> State:
        """With other values in the config; None removes a key."""
        runtime = {key: value for key, value in {**self.runtime, **changes}.items() if value is not None}
        return replace(self, runtime=runtime)


def plan(
    dockerfile: Dockerfile,
    request: BuildRequest,
    platform: Platform,
    images: Images,
    warn: Callable[[str, Span], None],
    *,
    build_platform: Platform | None = None,
    named: Callable[[str], Reference] = Reference.parse,
) -> BuildGraph:
    """The graph for one platform. Raises DockerfileError and what `images` and `named` raise."""
    planner = Planner(Stages.of(dockerfile), request, platform, build_platform or Platform.host(), images, named=named)
    target = planner.stages.target(request.target)
    planner.stages.order(target, planner.scope.get)  # every circle in the file, before anything is fetched
    state = planner.result(target)
    unused = request.build_args.keys() - planner.used - UNUSED_IS_FINE
    for name in sorted(name for name in unused if not name.startswith(MAGIC)):
        warn(f"build argument {name} was not consumed: no ARG declares it", NOWHERE)
    runtime = dict(state.runtime)
    if request.labels:
        runtime["Labels"] = {**(runtime.get("Labels") or {}), **request.labels}
    if state.triggers:
        runtime["OnBuild"] = list(state.triggers)
    outcome = Outcome(state.top, state.platform, runtime, state.base, state.history, state.lines, state.author)
    return BuildGraph(planner.finished(), outcome)


class Planner:
    """One planning: the steps so far, and the states that stages have ended in."""

    def __init__(
        self,
        stages: Stages,
        request: BuildRequest,
        platform: Platform,
        build_platform: Platform,
        images: Images,
        *,
        named: Callable[[str], Reference] = Reference.parse,
    ) -> None:
        self.stages = stages
        self.request = request
        self.platform = platform
        self.images = images
        self.named = named
        self.platform_arguments = platform_arguments(platform, build_platform, request.target or "")
        self.scope = stages.scope({**self.platform_arguments, **request.build_args})
        self.used: set[str] = {
            expand(declaration.name, self.scope.get)
            for argument in stages.arguments
            for declaration in argument.declarations
        }
        self.steps: list[Step] = []
        self._bases: dict[tuple[str, Platform], int] = {}
        self._results: dict[int, State] = {}
        self._counts: dict[str, int] = {}
        self._stage = ""
        self._current: Stage | None = None

    def result(self, stage: Stage) -> State:
        """The state at the end of a stage, planned once."""
        if stage.index not in self._results:
            outer = self._stage, self._current
            state = self._begin(stage)
            self._stage, self._current = stage.title, stage
            for instruction in self._triggered(state, stage):
                state = self.apply(instruction, replace(state, triggers=()))
            state = replace(state, triggers=())
            for instruction in stage.instructions:
                state = self.apply(instruction, state)
            self._results[stage.index] = state
            self._stage, self._current = outer
        return self._results[stage.index]

    def finished(self) -> tuple[Step, ...]:
        """The steps, each with how many its stage has."""
        return tuple(replace(step, count=self._counts[step.stage]) for step in self.steps)

    # -- stages ----------------------------------------------------------------------------------

    def _begin(self, stage: Stage) -> State:
        name = self.stages.image(stage, self.scope.get)
        platform = self._platform(stage.opening)
        base = self.stages.base(stage, name)
        if base is not None:
            state = self.result(base)
            self._counts.setdefault(stage.title, 1)
            return replace(state, cmd_set=False)
        self._stage = stage.title
        if name.lower() == SCRATCH:
            top = self._base("", None, platform, stage.span)
            runtime = {"Env": [f"PATH={DEFAULT_PATH}"], "WorkingDir": "/"}
            return State(top, platform, runtime, None, ())
        if (slip := self.stages.missing(name, stage.opening.image.span)) is not None and not self._local(name):
            raise slip
        image = self._image(name, platform, stage.opening.image.span)
        top = self._base(name, image, platform, stage.span)
        runtime = {key: value for key, value in image.config.runtime.items() if key != "OnBuild"}
        env = assignments(runtime.get("Env") or ())
        if "PATH" not in env:
            runtime["Env"] = [*(runtime.get("Env") or ()), f"PATH={DEFAULT_PATH}"]
        runtime["WorkingDir"] = runtime.get("WorkingDir") or "/"
        return State(
            top,
            image.config.platform,
            runtime,
            image,
            image.config.history,
            shell=tuple(runtime.get("Shell") or metadata.DEFAULT_SHELL),
            triggers=tuple(image.config.runtime.get("OnBuild") or ()),
            author=image.config.author or "",
        )

    def _local(self, name: str) -> bool:
        """Whether an image of that name can be had without asking anybody, so that it is no slip of the pen."""
        try:
            return self.images(Reference.parse(name), self.platform, NOWHERE).local
        except Exception:  # whatever hinders it: then the slip is what to tell
            return False

    def _platform(self, opening: From) -> Platform:
        if opening.platform is None:
            return self.platform
        text = expand(opening.platform, self.scope.get)
        if not text:
            help = "a variable in it is empty: declare it by ARG before the first FROM, or give it a default"
            what = f"empty platform value from expression {opening.platform.text}"
            raise DockerfileError(opening.platform.span, what, help=help)
        try:
            return Platform.parse(text)
        except DocumentInvalid as error:
            raise DockerfileError(opening.platform.span, f"failed to parse platform {text}: {error.why}") from error

    def _triggered(self, state: State, stage: Stage) -> list[Instruction]:
        """ONBUILD of the base: what this stage does first."""
        where = f"ONBUILD of {stage.opening.image.text}"
        return [parse_onbuild(trigger, where) for trigger in state.triggers]

    def _image(self, name: str, platform: Platform, span: Span) -> BaseImage:
        try:
            reference = self.named(name)
        except ReferenceInvalid as error:
            raise DockerfileError(span, f"invalid image name {name!r}: {error.why}") from error
        return self.images(reference, platform, span)

    def _base(self, name: str, image: BaseImage | None, platform: Platform, span: Span) -> int:
        key = (str(image.target.digest) + str(image.config.digest) if image else "", platform)
        if key not in self._bases:
            title = f"FROM {image.reference}" if image else "FROM scratch"
            self._bases[key] = self._step(Base(image), None, title, span, platform)
        else:
            self._counts.setdefault(self._stage, 1)
        return self._bases[key]

    def _step(self, op: Op, base: int | None, title: str, span: Span, platform: Platform) -> int:
        position = self._counts.get(self._stage, 0) + 1
        self._counts[self._stage] = position
        number = len(self.steps) + 1
        self.steps.append(Step(number, op, base, title, self._stage, position, platform, span))
        return number

    # -- instructions ----------------------------------------------------------------------------

    def apply(self, instruction: Instruction, state: State) -> State:
        """The state after an instruction. Raises DockerfileError."""
        return self._do(instruction, state)

    @singledispatchmethod
    def _do(self, instruction: object, state: State) -> State:
        raise AssertionError(f"{type(instruction).__name__} cannot stand in a stage")

    @_do.register
    def _arg(self, instruction: Arg, state: State) -> State:
        arguments = dict(state.arguments)
        texts = []
        for declaration in instruction.declarations:
            seen = {**{key: value for key, value in arguments.items() if value is not None}, **state.env}
            name = expand(declaration.name, seen.get)
            self.used.add(name)
            value = self._given(name)
            if value is None and declaration.default is not None:
                value = expand(declaration.default, seen.get)
            elif value is None:
                value = self.scope.get(name) if name in self.used_above or name in self.platform_arguments else None
            if value is not None or arguments.get(name) is None:
                arguments[name] = value
            texts.append(name if value is None else f"{name}={value}")
        return replace(state, arguments=arguments).told(f"ARG {' '.join(texts)}")

    @property
    def used_above(self) -> set[str]:
        """Names of the ARGs before the first FROM."""
        return {declaration.name.text for argument in self.stages.arguments for declaration in argument.declarations}

    def _given(self, name: str) -> str | None:
        return self.request.build_args.get(name)

    @_do.register
    def _env(self, instruction: Env, state: State) -> State:
        seen = state.variables
        pairs = [(expand(pair.key, seen.get), expand(pair.value, seen.get)) for pair in instruction.pairs]
        env = {**state.env, **dict(pairs)}
        text = " ".join(f"{key}={value}" for key, value in pairs)
        return state.config(Env=metadata.lines(env)).told(f"ENV {text}")

    @_do.register
    def _label(self, instruction: Label, state: State) -> State:
        seen = state.variables
        pairs = [(expand(pair.key, seen.get), expand(pair.value, seen.get)) for pair in instruction.pairs]
        text = " ".join(f"{key}={value}" for key, value in pairs)
        return state.config(Labels={**(state.runtime.get("Labels") or {}), **dict(pairs)}).told(f"LABEL {text}")

    @_do.register
    def _maintainer(self, instruction: Maintainer, state: State) -> State:
        return replace(state, author=instruction.name).told(f"MAINTAINER {instruction.name}")

    @_do.register
    def _user(self, instruction: User, state: State) -> State:
        user = expand(instruction.user, state.variables.get)
        return state.config(User=user).told(f"USER {user}")

    @_do.register
    def _shell(self, instruction: Shell, state: State) -> State:
        text = f"SHELL [{' '.join(instruction.args)}]"
        return replace(state.config(Shell=list(instruction.args)), shell=instruction.args).told(text)

    @_do.register
    def _cmd(self, instruction: Cmd, state: State) -> State:
        args = metadata.argv(instruction.command, state.shell)
        state = replace(state.config(Cmd=args, ArgsEscaped=True), cmd_set=True)
        return state.told(f"CMD {metadata.quoted(args)}")

    @_do.register
    def _entrypoint(self, instruction: Entrypoint, state: State) -> State:
        args = metadata.argv(instruction.command, state.shell)
        state = state.config(Entrypoint=args)
        if not state.cmd_set:
            state = state.config(Cmd=None)
        return state.told(f"ENTRYPOINT {metadata.quoted(args)}")

    @_do.register
    def _expose(self, instruction: Expose, state: State) -> State:
        seen = state.variables
        given = [text for word in instruction.ports for text in words(word, seen.get)]
        try:
            found = metadata.ports(given)
        except ValueError as error:
            raise DockerfileError(instruction.span, str(error)) from error
        exposed = {**(state.runtime.get("ExposedPorts") or {}), **{port: {} for port in found}}
        return state.config(ExposedPorts=exposed).told(f"EXPOSE [{' '.join(found)}]")

    @_do.register
    def _volume(self, instruction: Volume, state: State) -> State:
        paths = [expand(path, state.variables.get) for path in instruction.paths]
        for word, path in zip(instruction.paths, paths, strict=True):
            if not path.strip():
                raise DockerfileError(word.span, "VOLUME specified can not be an empty string")
        volumes = {**(state.runtime.get("Volumes") or {}), **{path: {} for path in paths}}
        return state.config(Volumes=volumes).told(f"VOLUME [{' '.join(paths)}]")

    @_do.register
    def _stop_signal(self, instruction: StopSignal, state: State) -> State:
        try:
            found = metadata.signal(expand(instruction.signal, state.variables.get))
        except ValueError as error:
            raise DockerfileError(instruction.span, str(error)) from error
        return state.config(StopSignal=found).told(f"STOPSIGNAL {found}")

    @_do.register
    def _healthcheck(self, instruction: Healthcheck, state: State) -> State:
        check = metadata.healthcheck(instruction, state.shell)
        return state.config(Healthcheck=check).told(metadata.healthcheck_text(check))

    @_do.register
    def _onbuild(self, instruction: OnBuild, state: State) -> State:
        return replace(state, triggers=(*state.triggers, instruction.trigger))

    @_do.register
    def _workdir(self, instruction: Workdir, state: State) -> State:
        path = expand(instruction.path, state.variables.get)
        if not path:  # only variables that are empty: it stays where it was
            path = str(state.runtime.get("WorkingDir") or "/")
        if not path.startswith("/"):
            path = posixpath.normpath(posixpath.join(state.cwd, path))
        state = state.config(WorkingDir=path)
        if state.cwd == "/":
            return state.told(f"WORKDIR {path}")
        step = self._step(Mkdir(state.cwd, state.user), state.top, f"WORKDIR {path}", instruction.span, state.platform)
        return state.told(f"WORKDIR {path}", step)

    @_do.register
    def _run(self, instruction: Run, state: State) -> State:
        if instruction.security == "insecure":
            help = "take --security=insecure away: a command gets the rights of an ordinary container"
            raise DockerfileError(instruction.span, "RUN --security=insecure is never granted", help=help)
        if instruction.network == "host" and self.request.network == "none":
            help = "build without --network none, or take --network=host away"
            raise DockerfileError(instruction.span, "RUN --network=host: this build has no network", help=help)
        if instruction.devices:
            help = "take --device away, or run the command in a container that is given the device"
            what = f"RUN --device={instruction.devices[0].name}: a build has no devices of this host"
            raise DockerfileError(instruction.span, what, help=help)
        command, script = instruction.command, None
        if isinstance(command, ShellForm) and command.shebang:
            script = Script(command.heredocs[0].name, command.heredocs[0].text)
            args = [*state.shell, f"/dev/pipes/{script.name}"]
        elif isinstance(command, ShellForm):
            args = [*state.shell, command.script]
        else:
            args = list(command.args)
        env = state.variables
        build_args = self.request.build_args
        network = self.request.network if instruction.network == "default" else instruction.network
        op = RunOp(
            tuple(args),
            env,
            state.cwd,
            state.user,
            network,
            self.request.add_hosts,
            script,
            {name: value for name, value in build_args.items() if name in PROXY_NAMES and name not in env},
            self.request.shm_size,
            self._mounts(instruction, state),
            tuple(state.arguments),
        )
        title = instruction.text.strip() or f"RUN {' '.join(args)}"
        step = self._step(op, state.top, title, instruction.span, state.platform)
        declared = {name: env.get(name, "") for name in state.arguments}
        return state.told(metadata.run_text(args, declared), step)

    def _mounts(self, instruction: Run, state: State) -> tuple[Mounted, ...]:
        found: list[Mounted] = []
        for flag in instruction.mounts:
            wanted = resolve(flag, state.variables.get)
            origin = self._origin(wanted.from_, flag.span, state) if wanted.from_ else None
            number = sum(isinstance(one, SshMount) for one in found)
            try:
                found.append(in_namespace(mounted(wanted, state.cwd, origin, number), self.request.build_args))
            except ValueError as error:
                raise DockerfileError(flag.span, str(error)) from error
        return tuple(found)

    @_do.register
    def _copy(self, instruction: Copy, state: State) -> State:
        origin = None
        if instruction.from_ is not None:
            origin = self._origin(instruction.from_, instruction.span, state)
        return self._put("COPY", instruction, state, origin)

    @_do.register
    def _add(self, instruction: Add, state: State) -> State:
        for word in instruction.sources:
            source = expand(word, state.variables.get)
            if source.startswith(REMOTE):
                help = "download it in a RUN, or beforehand into the context"
                raise DockerfileError(word.span, f"ADD {source}: files from the network are not fetched yet", help=help)
        if instruction.checksum is not None:
            raise DockerfileError(instruction.checksum.span, "checksum can't be specified for a local source")
        return self._put("ADD", instruction, state, None)

    def _origin(self, wanted: str, span: Span, state: State) -> int:
        """The step that `--from` reads."""
        assert self._current is not None
        stage = self.stages.source(self._current, wanted, span)
        if stage is not None:
            return self.result(stage).top
        if wanted.lower() == "context":
            raise DockerfileError(span, "--from=context is reserved")
        if wanted.lower() == SCRATCH:
            return self._base("", None, state.platform, span)
        if (slip := self.stages.missing(wanted, span)) is not None and not self._local(wanted):
            raise slip
        image = self._image(wanted, self.platform, span)
        return self._base(wanted, image, self.platform, span)

    def _put(self, name: str, instruction: Copy | Add, state: State, origin: int | None) -> State:
        seen = state.variables
        sources = [expand(word, seen.get) for word in instruction.sources]
        dest = expand(instruction.dest, seen.get)
        chown, chmod = (_optional(word, seen) for word in (instruction.chown, instruction.chmod))
        files = tuple((heredoc.name, expand_heredoc(heredoc, seen.get)) for heredoc in instruction.files)
        op = CopyOp(
            tuple(sources),
            _destination(state.cwd, dest),
            files,
            origin,
            chown,
            chmod,
            isinstance(instruction, Add) and instruction.unpack is not False,
            instruction.excludes,
            isinstance(instruction, Copy) and instruction.parents,
            instruction.link,
        )
        step = self._step(op, state.top, instruction.text.strip() or name, instruction.span, state.platform)
        flags = [f"--{key}={value}" for key, value in (("chown", chown), ("chmod", chmod)) if value]
        shown = [*flags, *sources, *(f"<<{file}" for file, _ in files), dest]
        return state.told(f"{name} {' '.join(shown)} # buildkit", step)


def _optional(word: Word | None, seen: Mapping[str, str]) -> str:
    return "" if word is None else expand(word, seen.get)


def _destination(cwd: str, dest: str) -> str:
    """Absolute and clean; a directory keeps its slash."""
    path = posixpath.normpath(posixpath.join(cwd, dest))
    path = "/" + path.lstrip("/")
    return path + "/" if path != "/" and (dest in (".", "") or dest.endswith(("/", "/."))) else path

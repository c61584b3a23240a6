"""From stages to the graph of steps: variables get their values, config is folded up, file-system work becomes steps.

Only what the target needs is planned. Instructions that change nothing but the config make no step, so they never
invalidate one; all that later phases must know of them is in the outcome's config and history.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import field, replace
from functools import singledispatchmethod
from typing import TYPE_CHECKING, Any

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
from builder.errors import DockerfileError, StageCycle
from builder.graph import Base, BaseImage, BuildGraph, Fetch, Line, Mkdir, Op, Outcome, Script, Step
from builder.graph import Copy as CopyOp
from builder.graph import Run as RunOp
from builder.mounts import BindMount, Mounted, SshMount, in_namespace, mounted
from builder.process import DEFAULT_PATH, assignments
from builder.request import HOST_NETWORK, INSECURE, BuildRequest
from builder.sources import ADDRESS
from builder.span import NOWHERE, Span
from builder.stages import SCRATCH, VARIABLE, Stage, Stages, flagged, platform_arguments
from layers import DigestInvalid, DocumentInvalid, History, Platform, Reference, ReferenceInvalid
from layers.quick import dataclass

if TYPE_CHECKING:
    from builder.sources.named import LayoutImage, Place

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
PROXY_NAMES = frozenset((*PROXIES, *(name.lower() for name in PROXIES)))
UNUSED_IS_FINE = PROXY_NAMES | {"SOURCE_DATE_EPOCH"}
MAGIC = "BUILDKIT_"
"""How arguments begin that are for the builder, not for the Dockerfile."""

Images = Callable[[Reference, Platform, Span], BaseImage]
"""Finds a base image: here, or in its registry."""
Layouts = Callable[["LayoutImage", Platform, Span], BaseImage]
"""Finds an image in an OCI layout."""


@dataclass(frozen=True, slots=True)
class State:
    """Where a stage has come to; each instruction makes the next one of it.

    `arguments` are the declared ARGs in order, None for one without a value. `cmd_set`: CMD was given in this stage,
    so ENTRYPOINT keeps it. `hiding`: ARGs that came after an ENV of their name, which they hide from what follows.
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
    hiding: Mapping[str, str] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        """What ENV has set."""
        return assignments(self.runtime.get("Env") or ())

    @property
    def variables(self) -> dict[str, str]:
        """What expansions and commands see: of ARG and ENV of one name the later, in stages below always ENV."""
        given = {key: value for key, value in self.arguments.items() if value is not None}
        return {**given, **self.env, **self.hiding}

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
    layouts: Layouts | None = None,
) -> BuildGraph:
    """The graph for one platform. Raises DockerfileError and what `images` and `named` raise."""
    stages, here = Stages.of(dockerfile), build_platform or Platform.host()
    planner = Planner(stages, request, platform, here, images, named=named, layouts=layouts)
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


def proxies(build_args: Mapping[str, str], env: Mapping[str, str]) -> dict[str, str]:
    """What is added to a command's environment for build arguments that name proxies: each in both cases."""
    given = {name.upper(): value for name, value in build_args.items() if name in PROXY_NAMES}
    both = {spelt: value for name, value in given.items() for spelt in (name, name.lower())}
    return {name: value for name, value in both.items() if name not in env}


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
        layouts: Layouts | None = None,
    ) -> None:
        self.request = request
        self.platform = platform
        if request.contexts:
            stages = stages.without(lambda name: self._context(name) is not None)
        self.stages = stages
        self.images = images
        self.named = named
        self.layouts = layouts
        self.platform_arguments = platform_arguments(platform, build_platform, stages.target(request.target))
        self.scope = stages.scope({**self.platform_arguments, **request.build_args})
        self.used: set[str] = {
            declaration.name.text for argument in stages.arguments for declaration in argument.declarations
        }
        self.steps: list[Step] = []
        self._bases: dict[tuple[str, Platform], int] = {}
        self._results: dict[int, State] = {}
        self._begun: list[Stage] = []
        self._fetches: dict[Fetch, int] = {}
        self._copies: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._stage = ""
        self._current: Stage | None = None

    def result(self, stage: Stage) -> State:
        """The state at the end of a stage, planned once."""
        if stage.index not in self._results:
            if stage in self._begun:  # by a context that is a stage
                circle = [*self._begun[self._begun.index(stage) :], stage]
                raise StageCycle(stage.span, [one.title for one in circle])
            self._begun.append(stage)
            outer = self._stage, self._current
            state = self._begin(stage)
            self._stage, self._current = stage.title, stage
            for instruction in self._triggered(state, stage):
                state = self.apply(instruction, replace(state, triggers=()))
            state = replace(state, triggers=())
            for instruction in stage.instructions:
                state = self.apply(instruction, state)
            self._results[stage.index] = state
            self._begun.pop()
            self._stage, self._current = outer
        return self._results[stage.index]

    def finished(self) -> tuple[Step, ...]:
        """The steps, each with how many its stage has."""
        return tuple(replace(step, count=self._counts[step.stage]) for step in self.steps)

    # -- stages ----------------------------------------------------------------------------------

    def _begin(self, stage: Stage) -> State:
        platform = self._platform(stage.opening)
        if (found := self._context(stage.name)) is not None:
            self._stage = stage.title
            return self._placed(*found, platform, stage.span)
        name = self.stages.image(stage, self.scope.get)
        base = self.stages.base(stage, name)
        if base is not None:
            state = self.result(base)
            self._counts.setdefault(stage.title, 1)
            return replace(state, cmd_set=False, hiding={})
        self._stage = stage.title
        if name.lower() == SCRATCH:
            return self._empty(self._base("", None, platform, stage.span), platform)
        if (found := self._context(name)) is not None:
            return self._placed(*found, platform, stage.opening.image.span)
        if (slip := self.stages.missing(name, stage.opening.image.span)) is not None and not self._local(name):
            raise slip
        return self._based(self._image(name, platform, stage.opening.image.span), platform, stage.span)

    def _empty(self, top: int, platform: Platform) -> State:
        """The state over files that came without a config."""
        return State(top, platform, {"Env": [f"PATH={DEFAULT_PATH}"], "WorkingDir": "/"}, None, ())

    def _based(self, image: BaseImage, platform: Platform, span: Span) -> State:
        """The state over an image."""
        top = self._base(str(image.reference), image, platform, span)
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

    def _context(self, name: str) -> tuple[str, Place] | None:
        """The context that was given for a name, with its own."""
        if not self.request.contexts:
            return None
        from builder.sources.named import find

        return find(self.request.contexts, name, self.platform)

    def _placed(self, key: str, place: Place, platform: Platform, span: Span) -> State:
        """The state over a context with a name."""
        from builder.sources.named import Directory, ImageNamed, LayoutImage, StageNamed

        match place:
            case ImageNamed(name) if name.lower() == SCRATCH:
                return self._empty(self._base("", None, platform, span), platform)
            case ImageNamed(name):
                return self._based(self._image(name, platform, span), platform, span)
            case LayoutImage():
                assert self.layouts is not None
                return self._based(self.layouts(place, platform, span), platform, span)
            case StageNamed(name):
                stage = self._stage
                state = self.result(self.stages.target(name))
                self._stage = stage
                self._counts.setdefault(stage, 1)
                return replace(state, cmd_set=False, hiding={})
            case Directory():
                return self._told(key, self._whole(key, platform, span), platform)
        op = Fetch(place, unpack=True)
        return self._told(key, self._fetch(op, f"context {key}", platform, span), platform)

    def _told(self, key: str, step: int, platform: Platform) -> State:
        """The state over the files of a context, which are a layer of the image."""
        return self._empty(step, platform).told(f"[context {key}] load", step)

    def _whole(self, key: str, platform: Platform, span: Span) -> int:
        """The step that makes a layer of all that a directory has."""
        if key not in self._copies:
            base = self._base("", None, platform, span)
            op = CopyOp(("/",), "/", context=key, link=True)
            self._copies[key] = self._step(op, base, f"context {key}", span, platform)
        return self._copies[key]

    def _fetch(self, op: Fetch, title: str, platform: Platform, span: Span) -> int:
        """The step that brings something from elsewhere, once for all who want it."""
        if op not in self._fetches:
            self._fetches[op] = self._step(op, None, title, span, platform)
        else:
            self._counts.setdefault(self._stage, 1)
        return self._fetches[op]

    def _local(self, name: str) -> bool:
        """Whether an image of that name can be had without asking anybody, so that it is no slip of the pen."""
        try:
            return self.images(Reference.parse(name), self.platform, NOWHERE).local
        except Exception:  # whatever hinders it: then the slip is what to tell
            return False

    def _platform(self, opening: From) -> Platform:
        if opening.platform is None or not opening.platform.text:
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
        arguments, env, seen = dict(state.arguments), state.env, state.variables
        hiding = dict(state.hiding)
        texts = []
        for declaration in instruction.declarations:
            name = declaration.name.text
            self.used.add(name)
            value = self._given(name)
            if value is None and declaration.default is not None:
                value = expand(declaration.default, seen.get)
            elif value is None:
                value = self.scope.get(name) if name in self.used_above or name in self.platform_arguments else None
            if value is not None or arguments.get(name) is None:
                arguments[name] = value
            if value is not None:
                seen[name] = value
                if name in env:
                    hiding[name] = value
            texts.append(name if value is None else f"{name}={value}")
        return replace(state, arguments=arguments, hiding=hiding).told(f"ARG {' '.join(texts)}")

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
        set_now = dict(pairs)
        hiding = {key: value for key, value in state.hiding.items() if key not in set_now}
        return replace(state, hiding=hiding).config(Env=metadata.lines(env)).told(f"ENV {text}")

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
        return state.config(User=user or None).told(f"USER {user}")

    @_do.register
    def _shell(self, instruction: Shell, state: State) -> State:
        text = f"SHELL [{' '.join(instruction.args)}]"
        return replace(state.config(Shell=list(instruction.args)), shell=instruction.args).told(text)

    @_do.register
    def _cmd(self, instruction: Cmd, state: State) -> State:
        args = metadata.argv(instruction.command, state.shell)
        state = replace(state.config(Cmd=args or None, ArgsEscaped=True), cmd_set=True)
        return state.told(f"CMD {metadata.quoted(args)}")

    @_do.register
    def _entrypoint(self, instruction: Entrypoint, state: State) -> State:
        args = metadata.argv(instruction.command, state.shell)
        state = state.config(Entrypoint=args or None)
        if not state.cmd_set:
            state = state.config(Cmd=None)
        return state.told(f"ENTRYPOINT {metadata.quoted(args)}")

    @_do.register
    def _expose(self, instruction: Expose, state: State) -> State:
        seen = state.variables
        ordered = sorted(instruction.ports, key=lambda word: word.text)
        given = [text for word in ordered for text in words(word, seen.get)]
        try:
            found = metadata.ports(given)
        except ValueError as error:
            raise DockerfileError(instruction.span, str(error)) from error
        exposed = {**(state.runtime.get("ExposedPorts") or {}), **{port: {} for port in found}}
        return state.config(ExposedPorts=dict(sorted(exposed.items())) or None).told(f"EXPOSE [{' '.join(found)}]")

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
        self._entitled(instruction)
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
            proxies(build_args, env),
            self.request.shm_size,
            self._mounts(instruction, state),
            tuple(state.arguments),
            instruction.security == "insecure",
        )
        title = instruction.text.strip() or f"RUN {' '.join(args)}"
        step = self._step(op, state.top, title, instruction.span, state.platform)
        declared = {name: env.get(name, "") for name in state.arguments}
        return state.told(metadata.run_text(args, declared), step)

    def _entitled(self, instruction: Run) -> None:
        """What reaches out of the walls must have been allowed on the command line, as with BuildKit."""
        for wanted, flag, here in (
            (instruction.security == "insecure", "security=insecure", INSECURE),
            (instruction.network == "host" and self.request.network != "host", "network=host", HOST_NETWORK),
        ):
            if wanted and here not in self.request.allow:
                help = f"build with --allow {here} if you trust this Dockerfile, or take --{flag} away"
                raise DockerfileError(instruction.span, f"RUN --{flag}: {here} is not allowed", help=help)

    def _mounts(self, instruction: Run, state: State) -> tuple[Mounted, ...]:
        found: list[Mounted] = []
        for flag in instruction.mounts:
            wanted = resolve(flag, state.variables.get)
            origin, context = self._origin(wanted.from_, flag.span, state) if wanted.from_ else (None, "")
            if context and wanted.type != "bind":
                origin = self._whole(context, self.platform, flag.span)
            number = sum(isinstance(one, SshMount) for one in found)
            try:
                mount = mounted(wanted, state.cwd, origin, number)
                if isinstance(mount, BindMount):
                    mount = replace(mount, context=context)
                found.append(in_namespace(mount, self.request.build_args))
            except ValueError as error:
                raise DockerfileError(flag.span, str(error)) from error
        return tuple(found)

    @_do.register
    def _copy(self, instruction: Copy, state: State) -> State:
        origin, context = None, ""
        if instruction.from_ is not None:
            wanted = self._extended("--from", instruction.from_, instruction, state)
            if not wanted:
                raise DockerfileError(instruction.span, f"--from={instruction.from_}: its variables are empty")
            origin, context = self._origin(wanted, instruction.span, state)
        return self._put("COPY", instruction, state, origin, context)

    @_do.register
    def _add(self, instruction: Add, state: State) -> State:
        return self._put("ADD", instruction, state)

    def _origin(self, wanted: str, span: Span, state: State) -> tuple[int | None, str]:
        """The step that `--from` reads; None and the name of a directory that is a context."""
        assert self._current is not None
        stage = self.stages.source(self._current, wanted, span)
        if stage is not None:
            return self.result(stage).top, ""
        if wanted.lower() == "context":
            raise DockerfileError(span, "--from=context is reserved")
        if wanted.lower() == SCRATCH:
            return self._base("", None, state.platform, span), ""
        if (found := self._context(wanted)) is not None:
            from builder.sources.named import Directory

            key, place = found
            if isinstance(place, Directory):
                return None, key
            return self._placed(key, place, self.platform, span).top, ""
        if (slip := self.stages.missing(wanted, span)) is not None and not self._local(wanted):
            raise slip
        image = self._image(wanted, self.platform, span)
        return self._base(wanted, image, self.platform, span), ""

    def _extended(self, flag: str, text: str, instruction: Copy | Add, state: State) -> str:
        """The value of a flag in which BuildKit expands no variables; with `strict` neither do we."""
        if not VARIABLE.search(text):
            return text
        if self.request.strict:
            help = "build without --strict, or write the value itself: no other builder knows variables there"
            what = f"variable expansion is not supported for {flag}: {text}"
            raise DockerfileError(flagged(instruction, f"{flag}={text}"), what, help=help)
        return expand(Word(text, instruction.span), state.variables.get)

    def _remote(self, instruction: Copy | Add, word: Word, state: State) -> tuple[int, str] | None:
        """The step that fetches a source, and the path in its result; None for a file of the context."""
        seen = state.variables
        source = expand(word, seen.get)
        checksum = instruction.checksum if isinstance(instruction, Add) else None
        if not ADDRESS.match(source) and checksum is None:
            return None
        from builder.sources.adding import remote
        from builder.sources.gitref import redacted

        try:
            found = remote(
                source,
                "" if checksum is None else expand(checksum, seen.get),
                keep_git_dir=isinstance(instruction, Add) and instruction.keep_git_dir,
            )
        except (ValueError, DigestInvalid) as error:
            span = word.span if checksum is None else checksum.span
            raise DockerfileError(span, f"ADD {redacted(source)}: {error}") from error
        if found is None:
            if checksum is not None:
                raise DockerfileError(checksum.span, "checksum can't be specified for a local source")
            return None
        if isinstance(instruction, Copy):
            if instruction.from_ is not None:
                return None
            raise DockerfileError(word.span, f"source can't be a URL for COPY: {redacted(source)}", help="write ADD")
        if checksum is not None and len(instruction.sources) + len(instruction.files) > 1:
            raise DockerfileError(checksum.span, "checksum can't be specified for multiple sources")
        op, path = found
        return self._fetch(op, f"fetch {redacted(source)}", state.platform, word.span), path

    def _put(
        self, name: str, instruction: Copy | Add, state: State, origin: int | None = None, context: str = ""
    ) -> State:
        seen = state.variables
        sources = [expand(word, seen.get) for word in instruction.sources]
        dest = expand(instruction.dest, seen.get)
        chown, chmod = (_optional(word, seen) for word in (instruction.chown, instruction.chmod))
        files = tuple((heredoc.name, expand_heredoc(heredoc, seen.get)) for heredoc in instruction.files)
        elsewhere = [self._remote(instruction, word, state) for word in instruction.sources]
        op = CopyOp(
            tuple(path if there is None else there[1] for path, there in zip(sources, elsewhere, strict=True)),
            _destination(state.cwd, dest),
            files,
            origin,
            chown,
            chmod,
            isinstance(instruction, Add) and instruction.unpack is not False,
            tuple(self._extended("--exclude", text, instruction, state) for text in instruction.excludes),
            isinstance(instruction, Copy) and instruction.parents,
            instruction.link,
            context,
            tuple(None if there is None else there[0] for there in elsewhere) if any(elsewhere) else (),
            isinstance(instruction, Add) and instruction.unpack is True,
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

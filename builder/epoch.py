"""The time that SOURCE_DATE_EPOCH names: as a build argument, or as the default of an ARG before the first FROM.

It is seconds since 1970, or where to take them from, as with BuildKit (its docs/build-repro.md): `context`, or the name
of a context, or of a stage that does nothing but ADD one thing from elsewhere. A commit has a time, a file at a URL
that which its server says, else an archive has that of its newest file. Directories and images have none of use: then
what goes in decides, as if nothing had been said.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from builder.dockerfile import Arg, Dockerfile, From, Word
from builder.errors import BuildError, ContextError, DockerfileError
from builder.graph import Base, Copy, Fetch
from builder.ops.origin import TreeOrigin
from builder.planning.plan import plan
from builder.sources.fetch import Fetcher
from builder.sources.gitref import GitSource
from builder.sources.named import StageNamed, find
from builder.sources.web import WebSource
from builder.span import NOWHERE, Span
from builder.stages import Stages, platform_arguments
from builder.times import MAX_EPOCH, NAME, Times
from layers import Chain, EntryType, Platform
from layers.quick import dataclass, replace
from layers.tar.entry import SECOND

if TYPE_CHECKING:
    from builder.dockerfile.instructions import Declaration
    from builder.graph import BaseImage
    from builder.request import BuildRequest
    from builder.road import Road
    from layers import Digest, Tree

CONTEXT = "context"
"""The name of the build's own context."""
NUMBER = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)


def settled(road: Road, dockerfile: Dockerfile) -> tuple[Dockerfile, BuildRequest]:
    """File and request as if both said the seconds, and the request with the times that follow.

    What names them is fetched. Raises DockerfileError, BuildError and what fetching raises.
    """
    request, seconds = road.request, None
    if (said := _said(dockerfile, request)) is not None:
        naming = Naming(road, dockerfile, said)
        seconds = naming.checked(int(said.value)) if NUMBER.fullmatch(said.value) else naming.seconds()
        if said.value != str(seconds):
            dockerfile, request = _saying(dockerfile, request, seconds)
    if request.epoch is not None or request.clock:  # --timestamp
        return dockerfile, request
    if seconds is None:
        return dockerfile, request if request.rewrite else replace(request, clock=True)
    return dockerfile, replace(request, epoch=seconds, times=Times(seconds) if request.rewrite else None)


@dataclass(frozen=True, slots=True)
class Said:
    """What SOURCE_DATE_EPOCH is, never empty, and where it stands; NOWHERE for a build argument."""

    value: str
    span: Span = NOWHERE


def _said(dockerfile: Dockerfile, request: BuildRequest) -> Said | None:
    """What it is, None for nothing; an empty build argument takes the default back. Raises DockerfileError."""
    if (given := request.build_args.get(NAME)) is not None:
        return Said(given) if given else None
    stages = Stages.of(dockerfile)
    declared = [one for argument in stages.arguments for one in argument.declarations if one.name.text == NAME]
    if not declared or (default := declared[-1].default) is None:
        return None
    known = platform_arguments(_platform(request), Platform.host(), stages.target(request.target))
    value = stages.scope({**known, **request.build_args})[NAME]
    return Said(value, default.span) if value else None


def _saying(dockerfile: Dockerfile, request: BuildRequest, seconds: int | None) -> tuple[Dockerfile, BuildRequest]:
    """Both with the number instead of what names it; None: neither says anything."""
    text = None if seconds is None else str(seconds)
    args = {name: value for name, value in request.build_args.items() if name != NAME}
    if text is not None and NAME in request.build_args:
        args[NAME] = text

    def told(one: Declaration) -> Declaration:
        if one.name.text != NAME or one.default is None:
            return one
        return replace(one, default=None if text is None else Word(text, one.default.span))

    lines = list(dockerfile.instructions)
    for at, line in enumerate(lines):
        if isinstance(line, From):
            break
        if isinstance(line, Arg):
            lines[at] = replace(line, declarations=tuple(map(told, line.declarations)))
    return replace(dockerfile, instructions=tuple(lines)), replace(request, build_args=args)


def _platform(request: BuildRequest) -> Platform:
    """Of several the first: an image has one time."""
    return next(iter(request.platforms), Platform.host())


@dataclass(frozen=True, slots=True)
class Naming:
    """Looks up the time of what a value names."""

    road: Road
    dockerfile: Dockerfile
    said: Said

    def seconds(self) -> int | None:
        """Since 1970; None, and a warning (with --strict an error), for what has no time."""
        match self._named():
            case GitSource() as source:
                self.road.dated_by = source = replace(source, mtime="commit")
                found = _newest(self._tree(self._layer(source)))
            case WebSource() as source:
                self.road.dated_by = source
                found = self._modified(source)
            case tree:
                found = None if tree is None else _newest(tree)
        if found is not None:
            return self.checked(found)
        what = f"{NAME}={self.said.value} names what has no time: it is left out, and what goes in decides"
        if self.road.request.strict:
            raise self._error(what, f"a commit, a URL or an archive has one; or write {NAME}=seconds")
        self.road.warn(what, self.said.span)
        return None

    def checked(self, seconds: int) -> int:
        """The same, if files can have it. Raises DockerfileError, BuildError."""
        if not 0 <= seconds <= MAX_EPOCH:
            raise self._error(f"invalid {NAME}: {seconds}", f"it is between 0 and {MAX_EPOCH} seconds since 1970")
        return seconds

    # -- inside ----------------------------------------------------------------------------------

    def _named(self) -> GitSource | WebSource | Tree | None:
        """What the value means; None for a directory or an image."""
        name, request, contexts = self.said.value, self.road.request, self.road.contexts
        if name == CONTEXT:
            if request.source is not None:
                return contexts.source()
            archive = contexts() if request.archive is not None else None
            return archive.tree if isinstance(archive, TreeOrigin) else None
        match find(request.contexts, name, _platform(request)):
            case None:
                return self._stage(name)
            case (_, StageNamed(stage)):
                return self._stage(stage)
            case (_, GitSource() | WebSource() as source):
                return source
        return None

    def _stage(self, name: str) -> GitSource | WebSource:
        """What a stage ADDs that does nothing else."""
        stages = Stages.of(self.dockerfile)
        if all(stage.name != name.lower() for stage in stages.all):
            near = " or ".join(stages.near(name))
            help = f"did you mean {near}?" if near else "write seconds since 1970, context, or a context or stage"
            raise self._error(f"invalid {NAME}: {name!r}", help)
        wrong = DockerfileError(
            stages.target(name).span,
            f"stage {name} cannot give {NAME} a time",
            help="it has to be FROM scratch and a single ADD of one URL or git repository",
        )

        def refused(*_: object) -> BaseImage:
            raise wrong

        request = replace(self.road.request, target=name)
        graph = plan(self.dockerfile, request, _platform(request), refused, lambda *_: None, layouts=refused)
        match [step.op for step in graph.steps]:
            case [Base(image=None), Fetch() as op, Copy(sources=(_,), files=())]:
                return op.source
        raise wrong

    def _modified(self, source: WebSource) -> int | None:
        """When a file was last modified, else the newest one in it."""
        whole = self._layer(source)
        if said := _newest(self._tree(whole)):
            return said
        held = self._layer(source, unpack=True)
        return None if held == whole else _newest(self._tree(held))

    def _layer(self, source: GitSource | WebSource, *, unpack: bool = False) -> Digest:
        road, request = self.road, self.road.request
        fetcher = Fetcher(road.bench, request.secrets, request.agents, road.stop)
        try:
            return fetcher.layer(Fetch(source, unpack=unpack))
        except ContextError as error:
            error.add_note(f"its time was wanted for {NAME}={self.said.value}")
            raise

    def _tree(self, layer: Digest) -> Tree:
        return self.road.bench.store.tree(Chain((layer,)))

    def _error(self, what: str, help: str) -> BuildError:
        if self.said.span is NOWHERE:
            return BuildError(f"{what}\nhelp: {help}")
        return DockerfileError(self.said.span, what, help=help)


def _newest(tree: Tree) -> int | None:
    """The time of the newest file, in seconds since 1970; None if there is none."""
    files = (entry.mtime_ns for toc, _ in tree.layers for entry in toc if entry.type is EntryType.FILE)
    return None if (found := max(files, default=None)) is None else found // SECOND

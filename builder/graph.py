"""What a build is, as data: operations on file systems, the steps that do them, the images they end in.

Nothing of the Dockerfile language is left here to be expanded or looked up, except what only the file system of a
step can answer (names of users and groups, symlinks, wildcards).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builder.mounts import BindMount, CacheMount, Mounted
from builder.span import NOWHERE, Span
from layers import Chain, Descriptor, History, ImageConfig, Manifest, Platform, Reference
from layers.quick import dataclass, field

if TYPE_CHECKING:
    from builder.sources.gitref import GitSource
    from builder.sources.web import WebSource
    from runner.cdi import Described


@dataclass(frozen=True, slots=True)
class BaseImage:
    """An image to build on, its documents read and its layers perhaps still elsewhere.

    `target` is what the reference points to (an index, perhaps); `local` says that all its layers are here. `layout` is
    the OCI layout that has it, None for a registry.
    """

    reference: Reference
    target: Descriptor
    manifest: Manifest
    config: ImageConfig
    local: bool
    layout: Path | None = None

    @property
    def chain(self) -> Chain:
        """Its layers as a stack."""
        return Chain(self.config.diff_ids)


@dataclass(frozen=True, slots=True)
class Base:
    """The layers of an image; None is scratch, no layers at all."""

    image: BaseImage | None


@dataclass(frozen=True, slots=True)
class Fetch:
    """Files from elsewhere as a file system of their own; with `unpack` an archive is what it holds."""

    source: GitSource | WebSource
    unpack: bool = False


@dataclass(frozen=True, slots=True)
class Script:
    """A here-document that is a program itself: mounted at /dev/pipes/`name` and executed."""

    name: str
    body: str


@dataclass(frozen=True, slots=True)
class Run:
    """Run a command.

    env is what the Dockerfile sets, declared build arguments included; `proxies` are added to it but do not
    count for the cache. `user` is the text of USER. `hosts` are (name, address) pairs. `mounts` in the order written.
    `devices` are those that were asked for by name and are there.
    `arguments` are the names in `env` that ARG has declared. insecure: it runs with all rights that this process has.
    """

    args: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    user: str
    network: str
    hosts: tuple[tuple[str, str], ...] = ()
    script: Script | None = None
    proxies: Mapping[str, str] = field(default_factory=dict)
    shm_size: int = 64 << 20
    mounts: tuple[Mounted, ...] = ()
    arguments: tuple[str, ...] = ()
    insecure: bool = False
    devices: tuple[Described, ...] = ()


@dataclass(frozen=True, slots=True)
class Copy:
    """Put files somewhere.

    sources: paths or wildcards below the origin's root; files: (name, content) of here-documents. dest: absolute, a
    slash at the end means a directory. origin: id of the step whose result is read, None for `context`, which is the
    name of one, "" for the build's own. unpack: True for what ADD does with archives. excludes: patterns as in
    .dockerignore. link: what lies below does not count, so links on the way to dest are not followed. fetched: the step
    that each source is of, None for one of the origin, empty if all are; unpack_fetched: as unpack, for those.
    """

    sources: tuple[str, ...]
    dest: str
    files: tuple[tuple[str, str], ...] = ()
    origin: int | None = None
    chown: str = ""
    chmod: str = ""
    unpack: bool = False
    excludes: tuple[str, ...] = ()
    parents: bool = False
    link: bool = False
    context: str = ""
    fetched: tuple[int | None, ...] = ()
    unpack_fetched: bool = False

    @property
    def of_context(self) -> bool:
        """True if it reads files of a context."""
        return bool(self.sources) and self.origin is None and (not self.fetched or None in self.fetched)


@dataclass(frozen=True, slots=True)
class Mkdir:
    """Make a directory and what is missing above it, owned by a user (the text of USER)."""

    path: str
    user: str


Op = Base | Fetch | Run | Copy | Mkdir


@dataclass(frozen=True, slots=True)
class Step:
    """A node of the graph: `op` done over the result of the step `base` (None for a Base or Fetch).

    `words` is the instruction as the user wrote it; `position` of `count` counts within its stage.
    """

    id: int
    op: Op
    base: int | None
    title: str
    stage: str
    position: int
    platform: Platform
    span: Span = NOWHERE
    count: int = 0

    @property
    def needs(self) -> tuple[int, ...]:
        """The steps whose results it uses."""
        found = () if self.base is None else (self.base,)
        return (*found, *origins(self.op))


def origins(op: Op) -> tuple[int, ...]:
    """The steps whose results an operation reads, besides what it stands on."""
    match op:
        case Copy(origin=origin, fetched=fetched):
            return tuple(dict.fromkeys(one for one in (origin, *fetched) if one is not None))
        case Run(mounts=mounts):
            found = (mount.origin for mount in mounts if isinstance(mount, BindMount | CacheMount))
            return tuple(dict.fromkeys(origin for origin in found if origin is not None))
    return ()


@dataclass(frozen=True, slots=True)
class Line:
    """A line of history; `step` made its layer, None for a line that has none."""

    created_by: str
    step: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the graph is for: the file system of the step `top` under this config.

    `history` and `layers` below come from the base image; `lines` are what this build adds, in order.
    """

    top: int
    platform: Platform
    runtime: Mapping[str, Any]
    base: BaseImage | None
    history: tuple[History, ...]
    lines: tuple[Line, ...]
    author: str = ""


@dataclass(frozen=True, slots=True)
class BuildGraph:
    """Steps in an order in which they can run, and their outcome."""

    steps: tuple[Step, ...]
    outcome: Outcome

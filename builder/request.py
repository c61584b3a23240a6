"""All that one may ask of a build, as one frozen value.

Nothing in it is text to be understood later: sizes are bytes, platforms and names are parsed, `key=value`
flags are mappings. Making it out of flags is the roof's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from builder.annotations import scoped
from builder.caching.policy import Lifetime
from builder.secrets import Secret
from builder.times import MAX_EPOCH, Times
from layers import Platform, Reference
from layers.quick import dataclass, field
from runner import Ids, Limits

if TYPE_CHECKING:
    from builder.sources.gitref import GitSource
    from builder.sources.named import Place
    from builder.sources.web import WebSource
    from layers.making.packing import Form
    from runner import Device

INSECURE, HOST_NETWORK, DEVICES = "security.insecure", "network.host", "device"
ENTITLEMENTS = frozenset({INSECURE, HOST_NETWORK, DEVICES})
"""What a Dockerfile may ask for only if the command line allows it (BuildKit's words)."""


@dataclass(frozen=True, slots=True)
class Output:
    """Where else the image goes; it is always in the local store.

    image: the store alone, under `names` as well. oci, docker: an archive at `dest`, or unless `packed` a directory.
    tar: the root file system as one tar at `dest`. local: the root file system as a directory `dest`. With several
    platforms both have a directory for each, unless told not to `split`. registry: push. A `dest` may be /dev/stdout.

    names: instead of the request's tags. by_digest: what is pushed gets no tag. canonical: its name with the digest is
    kept in the store, too. codec and level are those of layers that were built here, with `force` of all. media: the
    family of media types, None for those that there are.
    """

    kind: Literal["image", "oci", "docker", "tar", "local", "registry"]
    dest: Path | None = None
    codec: Literal["none", "gzip", "zstd"] = "gzip"
    level: int | None = None
    force: bool = False
    names: tuple[Reference, ...] = ()
    by_digest: bool = False
    canonical: bool = False
    media: Literal["oci", "docker"] | None = None
    packed: bool = True
    split: bool = True

    def __post_init__(self) -> None:
        if (self.kind in ("image", "registry")) != (self.dest is None):
            raise ValueError(f"an output of type {self.kind} {'takes no' if self.dest else 'needs a'} dest")


@dataclass(frozen=True, slots=True)
class CacheSource:
    """A shared cache to read: `where` is a reference, or the directory of a layout with `name`, a tag or digest."""

    kind: Literal["local", "registry"]
    where: str
    name: str = "latest"


@dataclass(frozen=True, slots=True)
class CacheTarget:
    """A shared cache to write. inline: into the image's own config.

    mode: min has the layers of the image, max those of all steps. codec, level: how they are compressed.
    ignore_error: failing to write it is a warning only. mounts: with what the cache mounts of the build hold.
    """

    kind: Literal["local", "registry", "inline"]
    where: str = ""
    name: str = "latest"
    mode: Literal["min", "max"] = "min"
    codec: Literal["none", "gzip", "zstd"] = "gzip"
    level: int | None = None
    ignore_error: bool = False
    mounts: bool = False


@dataclass(frozen=True, slots=True)
class Attest:
    """What is told of the images beside them. provenance: how they were built, max with the values of arguments.

    sbom: what is installed. builder: an id of whoever builds. reproducible: claimed to be. artifact: registries list it
    among the referrers of the image.
    """

    provenance: Literal["", "min", "max"] = ""
    sbom: bool = False
    builder: str = ""
    reproducible: bool = False
    artifact: bool = False

    def __bool__(self) -> bool:
        return bool(self.provenance or self.sbom)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """One build.

    context: the directory that COPY reads; None for a build without files, or one that reads a `source` elsewhere or an
    `archive` (a stream of a tar, compressed or not). contexts: those with names, by `sources.named.key_of`.
    dockerfile: its path, by default `Dockerfile` in the context; `text` given instead is the Dockerfile itself, `name`
    what messages call it. ignorefile: what to read instead of the .dockerignore of the context.
    annotations: by key, with its level as in `builder.annotations`.
    no_cache_filter: stages that run anew. always: patterns of steps that do. lifetimes: how old results may be.
    explain: tell why a step is made anew. cache_from, cache_to: shared caches. pull: ask registries even for images
    that are here. network: of RUN. squash: "new" makes one layer of all that this build adds, "all" one of the
    whole image. epoch: seconds, whatever SOURCE_DATE_EPOCH says (`builder.epoch`). times: of the files in new
    layers. clock: without either it is now, and files keep their times; else what goes in decides both
    (`builder.times`). rewrite: no file is younger than SOURCE_DATE_EPOCH. apart: nothing is remembered but the
    image. jobs: steps at the same time, None for two a processor. keep_failed: keep the files of a failed RUN.
    secrets: by id, for RUN --mount=type=secret. agents: sockets of SSH agents by id ("default" is the usual one),
    for RUN --mount=type=ssh. strict: what is usually passed over in silence is an error. allow: entitlements that
    were granted (device=NAME: what RUN --device means by it; ,alias=OTHER: under another name, too). cdi: where
    devices are described. devices: those of this host that every RUN has. userns: the numbers of users in RUN, None
    for the host's. attest: what is told beside the images.
    """

    context: Path | None
    dockerfile: Path | None = None
    ignorefile: Path | None = None
    text: bytes | None = None
    name: str = "Dockerfile"
    tags: tuple[Reference, ...] = ()
    target: str | None = None
    build_args: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    platforms: tuple[Platform, ...] = ()
    no_cache: bool = False
    no_cache_filter: tuple[str, ...] = ()
    always: tuple[str, ...] = ()
    lifetimes: tuple[Lifetime, ...] = ()
    explain: bool = False
    cache_from: tuple[CacheSource, ...] = ()
    cache_to: tuple[CacheTarget, ...] = ()
    pull: bool = False
    limits: Limits = field(default_factory=Limits)
    network: str = "host"
    """host, none, bridge or the name of one that was made."""
    userns: Ids | None = field(default_factory=Ids.usual)
    devices: tuple[Device, ...] = ()
    add_hosts: tuple[tuple[str, str], ...] = ()
    shm_size: int = 64 << 20
    squash: Literal["new", "all"] | None = None
    outputs: tuple[Output, ...] = ()
    epoch: int | None = None
    times: Times | None = None
    clock: bool = False
    rewrite: bool = True
    apart: bool = False
    jobs: int | None = None
    keep_failed: bool = True
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    agents: Mapping[str, Path] = field(default_factory=dict)
    strict: bool = False
    source: GitSource | WebSource | None = None
    archive: BinaryIO | None = None
    contexts: Mapping[str, Place] = field(default_factory=dict)
    allow: frozenset[str] = frozenset()
    cdi: tuple[Path, ...] = (Path("/etc/cdi"), Path("/var/run/cdi"))
    attest: Attest = Attest()

    def __post_init__(self) -> None:
        if self.epoch is not None and not 0 <= self.epoch <= MAX_EPOCH:
            raise ValueError(f"SOURCE_DATE_EPOCH {self.epoch} is not between 0 and {MAX_EPOCH} seconds")
        unknown = {one for one in self.allow if one not in ENTITLEMENTS and not one.startswith(f"{DEVICES}=")}
        if unknown:
            raise ValueError(f"--allow {min(unknown)}: there are {', '.join(sorted(ENTITLEMENTS))}, {DEVICES}=NAME")
        if any(one.startswith(f"{DEVICES}=") for one in self.allow):
            from builder.devices import Grants

            Grants.of(self.allow)
        for key in self.annotations:
            scoped(key)
        for output in self.outputs if len(self.platforms) > 1 else ():
            if output.kind == "docker":
                raise ValueError("an output of type docker holds one platform; type oci holds several")
            if output.kind == "tar" and not output.split:
                raise ValueError("an output of type tar without platform-split holds one platform")
        if self.jobs is not None and self.jobs < 1:
            raise ValueError(f"{self.jobs} steps at the same time is less than one")
        if sum(one is not None for one in (self.context, self.source, self.archive)) > 1:
            raise ValueError("a build has one context: a directory, a place elsewhere or an archive")
        if self.context is None and not self.elsewhere and self.text is None and self.dockerfile is None:
            raise ValueError("a build needs a context or a Dockerfile")

    @property
    def elsewhere(self) -> bool:
        """True if the context is no directory of this machine."""
        return self.source is not None or self.archive is not None

    @property
    def form(self) -> Form | None:
        """How the layers of the image will be compressed, if they leave the store as they are."""
        if self.squash is not None:
            return None
        leaving = (output for output in self.outputs if output.kind in ("oci", "registry") and output.codec != "none")
        return next(((output.codec, output.level) for output in leaving), None)

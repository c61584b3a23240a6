"""Images of registries put together, as `docker buildx imagetools create` does it: no layer is fetched here.

What comes of it is one source as it is, or an index of all that the sources name. Manifests and blobs that the target
lacks are mounted or copied from where the source has them.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from layers.quick import dataclass, replace

if TYPE_CHECKING:
    from layers import Descriptor, Index, Platform, Reference, Repository
    from pybuild.wiring import Context

LEVELS = frozenset({"index", "manifest-descriptor"})
"""What can be annotated without making images anew."""


@dataclass(frozen=True, slots=True)
class Source:
    """An image or index at a registry, and its document."""

    name: str
    there: Repository
    target: Descriptor
    raw: bytes

    @property
    def index(self) -> Index | None:
        """The document, if it is an index."""
        from layers import Index
        from layers.oci.mediatypes import INDEXES

        return Index.parse(self.raw, self.target.media_type) if self.target.media_type in INDEXES else None

    def entries(self) -> tuple[Descriptor, ...]:
        """What an index says of it. Raises DocumentInvalid, BlobMissing."""
        from layers import ImageConfig, Manifest
        from layers.moving.repository import document
        from layers.oci.documents import is_image

        if (index := self.index) is not None:
            return index.manifests
        manifest = Manifest.parse(self.raw, self.target.media_type)
        if not is_image(manifest):
            return (replace(self.target, artifact_type=manifest.artifact_type),)
        config = ImageConfig.parse(document(self.there, manifest.config))
        return (replace(self.target, platform=config.platform),)


def find(context: Context, name: str) -> Source:
    """What a reference names at its registry. Raises RegistryErrors, DocumentInvalid, ReferenceInvalid."""
    from layers import Reference
    from layers.moving.repository import document
    from layers.moving.transfer import unreadable
    from layers.oci.mediatypes import DOCUMENTS

    reference = Reference.parse(name.removeprefix("docker://"))
    there = context.registry(reference)
    target = there.resolve(str(reference.digest or reference.tag)).bare
    if target.media_type not in DOCUMENTS:
        raise unreadable(target)
    return Source(reference.familiar, there, target, document(there, target))


def combined(
    sources: Sequence[Source], annotations: Mapping[str, str], platforms: Sequence[Platform], *, lone: bool
) -> tuple[Descriptor, bytes]:
    """The document that comes of some sources; with `lone` a single image stays what it is.

    Raises click.UsageError for annotations of levels that would change images, or platforms that no source has.
    """
    from builder.annotations import of, scoped
    from layers import Index
    from layers.oci import mediatypes

    for text in annotations:
        if unknown := set(scoped(text)[0]) - LEVELS:
            raise click.UsageError(
                f"--annotation {text}: {min(unknown)} would make the images anew; write index:KEY=VALUE or "
                "manifest-descriptor:KEY=VALUE"
            )
    [first, *others] = sources
    if not (others or annotations or platforms) and (first.index is not None or lone):
        return first.target, first.raw
    found: dict[str, Descriptor] = {}
    for entry in (entry for source in sources for entry in source.entries()):
        known = found.setdefault(str(entry.digest), entry)
        found[str(entry.digest)] = replace(known, annotations={**known.annotations, **entry.annotations})
    entries = list(found.values())
    if platforms:
        entries = kept(entries, platforms)
    if annotations:
        entries = [annotated(entry, annotations) for entry in entries]
    own = {**next((source.index.annotations for source in sources if source.index), {}), **of(annotations, "index")}
    docker = not own and all(entry.media_type == mediatypes.DOCKER_MANIFEST for entry in entries)
    index = Index.build(
        entries, media_type=mediatypes.DOCKER_INDEX if docker else mediatypes.OCI_INDEX, annotations=own
    )
    return index.descriptor, index.raw


def annotated(entry: Descriptor, annotations: Mapping[str, str]) -> Descriptor:
    """An entry with what is to be said of it."""
    from builder.annotations import of
    from layers import Platform

    there = entry.platform
    platform = Platform(there.os, there.architecture, there.variant) if there else None
    return replace(entry, annotations={**entry.annotations, **of(annotations, "manifest-descriptor", platform)})


def kept(entries: Sequence[Descriptor], platforms: Sequence[Platform]) -> list[Descriptor]:
    """The images of some platforms and what lies beside them. Raises PlatformMissing."""
    from layers import Index, PlatformMissing
    from layers.oci.attested import REFERENCE
    from layers.oci.documents import runnable

    images = [entry for entry in entries if runnable(entry)]
    chosen = set()
    for platform in platforms:
        fits = [entry for entry in images if entry.platform and platform.accepts(entry.platform)]
        if not fits:
            raise PlatformMissing(str(platform), tuple(str(entry.platform) for entry in images))
        chosen.add(str(Index.build(fits).choose(platform).digest))
    return [entry for entry in entries if {str(entry.digest), entry.annotations.get(REFERENCE)} & chosen]


def deliver(context: Context, sources: Sequence[Source], target: Descriptor, raw: bytes, name: Reference) -> None:
    """Let a tag of a registry mean a document, with all that it names. Raises RegistryErrors."""
    from layers import Index
    from layers.moving.transfer import copy
    from layers.oci.mediatypes import INDEXES

    where = context.registry(name).origin
    origins = {str(entry.digest): source.there for source in sources for entry in (source.target, *source.entries())}
    if target.media_type in INDEXES:
        for entry in Index.parse(raw, target.media_type).manifests:
            copy(origins[str(entry.digest)], entry.bare, where, None, every=True, places=context.places)
    else:
        copy(origins[str(target.digest)], target, where, None, every=True, places=context.places)
    if not where.has(target):
        where.put(target, io.BytesIO(raw))
    where.tag(str(name.tag), target)

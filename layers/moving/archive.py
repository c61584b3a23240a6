"""Images as one tar: OCI archives (image-spec, image-layout.md) and docker's (`manifest.json`), as a whole.

What is written for docker is an OCI layout at the same time, as docker does since version 25: every tool reads it, and
what we read of such an archive is the layout, because that knows the manifests and so keeps their digests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, BinaryIO

from layers.errors import BlobMissing, PlatformMissing
from layers.moving.archivewriter import ArchiveWriter, path_of
from layers.moving.dockerarchive import DockerArchive, is_plain
from layers.moving.layout import check_version
from layers.moving.local import LocalRepository
from layers.moving.members import Members, opened
from layers.moving.names import Names, reference_of
from layers.moving.repository import ReadOnly, Repository, document
from layers.moving.rewrite import Packed
from layers.moving.transfer import copy
from layers.oci import mediatypes
from layers.oci.descriptor import Descriptor
from layers.oci.digest import Digest
from layers.oci.documents import ImageConfig, Index, Manifest, is_image, runnable
from layers.oci.platform import Platform
from layers.oci.reference import Reference
from layers.quick import replace

if TYPE_CHECKING:
    from layers.home.store import Store

Named = tuple[Descriptor, Sequence[Reference]]
"""A manifest or index, and its names."""


class OciArchive(ReadOnly):
    """The tar of an OCI layout, being read."""

    def __init__(self, members: Members, where: str = "the archive") -> None:
        self._members = members
        self.where = where
        if members.holds("oci-layout"):
            check_version(members.read("oci-layout"))
        self._names = Names.parse(members.read("index.json"))

    def images(self) -> list[Named]:
        """Every image and its names, in the order of index.json."""
        found: dict[Digest, tuple[Descriptor, list[Reference]]] = {}
        for entry in self._names.entries():
            names = found.setdefault(entry.digest, (entry.bare, []))[1]
            if (name := reference_of(entry.annotations)) and name not in names:
                names.append(name)
        return list(found.values())

    def tags(self) -> tuple[str, ...]:
        """Every name, sorted."""
        return self._names.listed()

    def resolve(self, name: str) -> Descriptor:
        """What a name points to. Raises BlobMissing, NameAmbiguous."""
        return self._names.resolve(name, self.where, self._document)

    def has(self, wanted: Descriptor) -> bool:
        """True if the blob is in the archive."""
        path = path_of(wanted.digest)
        return self._members.holds(path) and self._members.size(path) == wanted.size

    def open(self, wanted: Descriptor) -> BinaryIO:
        """The bytes of a blob. Raises BlobMissing."""
        if not self._members.holds(path_of(wanted.digest)):
            raise BlobMissing(str(wanted.digest), self.where)
        return self._members.open(path_of(wanted.digest))

    def _document(self, digest: Digest) -> bytes:
        if not self._members.holds(path_of(digest)):
            raise BlobMissing(str(digest), self.where)
        return self._members.read(path_of(digest))


def reader(members: Members, where: str = "the archive") -> OciArchive | DockerArchive:
    """An archive of either kind. Raises ArchiveInvalid, DocumentInvalid."""
    return DockerArchive(members, where) if is_plain(members) else OciArchive(members, where)


def save(
    store: Store,
    images: Sequence[Named],
    sink: BinaryIO,
    *,
    kind: str,
    codec: str = "gzip",
    level: int | None = None,
    force: bool = False,
    annotations: Mapping[str, str] | None = None,
) -> list[Descriptor]:
    """Write an archive of `kind` "oci" or "docker" (layers uncompressed); what lies in it for each.

    Of an index the images that are here are written; it goes on naming the others. `force`: layers that are compressed
    otherwise become `codec`, too. annotations: of the entries of index.json. Raises BlobMissing and OSError.
    """
    packed = Packed(store, "none", force=True) if kind == "docker" else Packed(store, codec, level, force=force)
    writer = ArchiveWriter(sink, docker=kind == "docker")
    written = []
    for target, names in images:
        found = copy(packed, str(target.digest), writer, None, every=True, partial=True)
        found = replace(found, annotations=annotations or {})
        for name in names:
            writer.call(name, found)
        if not names:
            writer.tag("", found)
        written.append(found)
    writer.finish()
    return written


def load(
    store: Store, source: BinaryIO, platform: Platform | None = None
) -> list[tuple[Descriptor, tuple[Reference, ...]]]:
    """Take in every image of an archive, compressed or not; what came, with its names.

    Of each index only the image of `platform`, if one is given. Raises ArchiveInvalid, DocumentInvalid, BlobMissing,
    BlobMismatch, and PlatformMissing before anything is named.
    """
    local = LocalRepository(store)
    loaded = []
    with opened(source, store.scratch) as members:
        archive = reader(members)
        images = archive.images()
        if platform is not None:
            for target, _ in images:
                check_platform(archive, target, platform)
        for target, names in images:
            whole = platform is None
            copy(archive, target, local, None, platform=platform, every=whole, partial=True, keep_index=True)
            for name in names:
                store.images.tag(name, target)
            loaded.append((target, tuple(names)))
    return loaded


def check_platform(there: Repository, target: Descriptor, platform: Platform) -> None:
    """Raises PlatformMissing if what lies at a place, an index or an image, has nothing to run on a platform."""
    raw = document(there, target)
    if target.media_type in mediatypes.INDEXES:
        index = Index.parse(raw, target.media_type)
        if there.has(index.choose(platform)):
            return
        met = [str(one.platform) for one in index.manifests if runnable(one) and there.has(one)]
    else:
        manifest = Manifest.parse(raw, target.media_type)
        if not is_image(manifest):
            return
        config = ImageConfig.parse(document(there, manifest.config))
        if platform.accepts(config.platform):
            return
        met = [str(config.platform)]
    raise PlatformMissing(str(platform), tuple(met))

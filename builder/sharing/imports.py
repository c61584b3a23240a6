"""Shared caches read before a build: what they have is found at once, its layers are fetched when they are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from builder.sharing import document as documents
from builder.sharing.document import Document
from builder.sharing.known import CacheBroken
from builder.sharing.places import opened
from layers import BlobMismatch, DiffID, DocumentInvalid, ImageConfig, Index, LayerError, Manifest
from layers.moving.repository import document as read
from layers.oci.mediatypes import CONFIGS, INDEXES
from layers.quick import dataclass

if TYPE_CHECKING:
    from builder.request import CacheSource
    from builder.workbench import Workbench
    from layers import Descriptor, Platform, Repository, Store

Warn = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Imported:
    """One cache, its documents read."""

    name: str
    repository: Repository
    document: Document

    def fetch(self, store: Store, diff_id: DiffID, tell: Callable[[int], None]) -> None:
        """Have a layer here, verified. Raises CacheBroken, whatever hindered it."""
        from layers.moving.transfer import Counted

        blob = self.document.layers[diff_id]
        try:
            there = store.repository()
            if not there.has(blob):
                import threading
                from typing import BinaryIO, cast

                stream = self.repository.open(blob)
                try:
                    there.put(blob, cast(BinaryIO, Counted(stream, tell, threading.Event())))
                finally:
                    stream.close()
            met = store.ingest(blob)
            if met != diff_id:
                raise BlobMismatch(blob, received=blob.size, digest=f"{met} inside, not {diff_id} as promised,")
        except Exception as error:  # of the network, of the disk there, of what came: none of it is the build's fault
            raise CacheBroken(self, str(error)) from error


def load(bench: Workbench, wanted: Sequence[CacheSource], platforms: Sequence[Platform], warn: Warn) -> list[Imported]:
    """Those of the caches that can be read; of each other one a warning says why not."""
    found = []
    for source in wanted:
        try:
            repository, name = opened(bench, source, write=False)
            found += [Imported(source.where, repository, one) for one in _read(repository, name, platforms)]
        except LayerError as error:
            warn(f"cache {source.where}: {error}")
        except Exception as error:  # of a registry, whose errors are of another room
            warn(f"cache {source.where}: {str(error) or type(error).__name__}")
    return found


def _read(repository: Repository, name: str, platforms: Sequence[Platform]) -> Iterable[Document]:
    target = repository.resolve(name)
    if target.media_type not in INDEXES:
        yield _document(repository, target)
        return
    index = Index.parse(read(repository, target), target.media_type)
    if not any(entry.platform for entry in index.manifests):
        raise foreign() if index.manifests else DocumentInvalid("build cache", "it is an empty index")
    for platform in platforms:
        yield _document(repository, index.choose(platform))


def _document(repository: Repository, target: Descriptor) -> Document:
    manifest = Manifest.parse(read(repository, target), target.media_type)
    if manifest.config.media_type == documents.CONFIG:
        return documents.parse(read(repository, manifest.config), manifest)
    raw = read(repository, manifest.config)
    if manifest.config.media_type in CONFIGS:
        found = documents.parse_inline(ImageConfig.parse(raw), manifest.layers)
        if found is not None:
            return found
    if documents.is_buildkit(manifest, raw):
        raise foreign()
    what = "an image without a cache" if manifest.config.media_type in CONFIGS else manifest.config.media_type
    raise DocumentInvalid("build cache", f"it is {what}; pybuild build --cache-to makes one")


def foreign() -> DocumentInvalid:
    """The error of a cache of BuildKit's."""
    why = "it was made by BuildKit, whose keys only BuildKit can compute; give pybuild one of its own (--cache-to)"
    return DocumentInvalid("build cache", why)

"""Images from one repository to another: documents last, blobs at the same time, nothing twice.

Every byte is verified by whoever keeps it (the store hashes what comes, registries verify what they get), so a copy is
whole or it is not there. What a killed copy got of a large blob stays with a target that can go on from there. Layers
that may not be distributed (their descriptor names where they are) are left out on the way to a registry.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO, cast

from layers import mediatypes
from layers.crew import side_by_side
from layers.descriptor import Descriptor
from layers.digest import Digest
from layers.documents import MAX_DOCUMENT, Index, Manifest
from layers.errors import BlobMissing, DocumentInvalid
from layers.partial import WORTH
from layers.pipeline import Stopped
from layers.places import Neighbour, Places
from layers.platform import Platform
from layers.repository import Gathers, Mounts, Repository, Resumes
from layers.rewind import Rewindable

if TYPE_CHECKING:
    from layers.store import Store

JOBS = 6
"""Blobs at the same time: enough to hide the delay of a far registry, few enough to be welcome there."""
PACKERS = 4
"""Layers compressed at the same time."""
DEPTH = 4
"""Indexes within indexes that are followed."""

Progress = Callable[[Descriptor, int, int], None]
"""Told with a blob, the bytes of it that have moved, and how many there are; from several threads."""


def copy(
    source: Repository,
    name: str,
    target: Repository,
    tag: str,
    *,
    platform: Platform | None = None,
    every: bool = False,
    keep_index: bool = False,
    progress: Progress | None = None,
    places: Places | None = None,
    stop: threading.Event | None = None,
) -> Descriptor:
    """Copy what `name` means at `source` and call it `tag` at `target`; what the tag then points to.

    Of an index the image of `platform` (this machine's) is copied, or with `every` all of them; with `keep_index` the
    index itself comes along although some of its images stay behind. `places` remembers which registries have which
    blobs, so that they can be mounted from another repository instead of being sent. `stop` ends it with Stopped.
    Raises BlobMissing, BlobMismatch, PlatformMissing, DocumentInvalid and what the repositories raise.
    """
    found = source.resolve(name)
    work = _Copy(source, target, progress, places, stop)
    if found.media_type in mediatypes.INDEXES:
        raw = work.document(found)
        index = Index.parse(raw, found.media_type)
        if every:
            for entry in index.manifests:
                work.any(entry, 1)
            work.put(found, raw)
        else:
            chosen = index.choose(platform or Platform.host())
            work.any(chosen, 1)
            if keep_index:
                work.put(found, raw)
            else:
                found = chosen
    else:
        work.any(found, 0)
    target.tag(tag, found)
    return found


class _Copy:
    def __init__(
        self,
        source: Repository,
        target: Repository,
        progress: Progress | None,
        places: Places | None,
        stop: threading.Event | None,
    ) -> None:
        self._source = source
        self._target = target
        self._progress = progress
        self._places = places
        self._stop = stop
        self._over = threading.Event()

    def any(self, wanted: Descriptor, depth: int) -> None:
        """A manifest with its blobs, or an index with everything in it. Raises DocumentInvalid if it is too deep."""
        if depth > DEPTH:
            raise DocumentInvalid(f"index {wanted.digest}", f"it lies deeper than {DEPTH} indexes within indexes")
        raw = self.document(wanted)
        if wanted.media_type in mediatypes.INDEXES:
            for entry in Index.parse(raw, wanted.media_type).manifests:
                self.any(entry, depth + 1)
        else:
            manifest = Manifest.parse(raw, wanted.media_type)
            blobs = list({blob.digest: blob for blob in (*manifest.layers, manifest.config)}.values())
            side_by_side(self._blob, blobs, jobs=JOBS, over=self._over, name="pybuild-blob", stop=self._stop)
        self.put(wanted, raw)

    def document(self, wanted: Descriptor) -> bytes:
        """The bytes of a document, verified."""
        if wanted.size > MAX_DOCUMENT:
            raise DocumentInvalid(f"document {wanted.digest}", f"larger than {MAX_DOCUMENT} bytes")
        with self._source.open(wanted) as stream:
            raw = stream.read(wanted.size + 1)
            while len(raw) <= wanted.size and (more := stream.read(wanted.size + 1 - len(raw))):
                raw += more
        met = Descriptor.of(raw, wanted.media_type, wanted.digest.algorithm)
        if met.digest != wanted.digest:
            raise DocumentInvalid(f"document {wanted.digest}", f"the bytes that came have digest {met.digest}")
        return raw

    def put(self, wanted: Descriptor, raw: bytes) -> None:
        """Keep a document, unless it is there."""
        if not self._target.has(wanted):
            self._target.put(wanted, io.BytesIO(raw))

    def _blob(self, wanted: Descriptor) -> None:
        if wanted.media_type in mediatypes.FOREIGN_LAYERS and wanted.urls and isinstance(self._target, Neighbour):
            return
        if not (self._target.has(wanted) or self._mounted(wanted)):
            source = self._source
            if wanted.size >= WORTH and isinstance(source, Resumes) and isinstance(self._target, Gathers):
                self._target.gather(
                    wanted, lambda offset: self._watched(wanted, source.open_from(wanted, offset), offset)
                )
            else:
                with self._opened(wanted) as stream:
                    self._target.put(wanted, self._watched(wanted, stream))
        self._tell(wanted, wanted.size)
        if self._places is not None:
            self._places.learn(self._source, wanted)
            self._places.learn(self._target, wanted)

    def _opened(self, wanted: Descriptor) -> BinaryIO:
        """The bytes of a blob; seekable on the way from one registry to another, which may want some of them again."""
        if isinstance(self._source, Resumes) and isinstance(self._target, Neighbour):
            return cast(BinaryIO, Rewindable(self._source, wanted))
        return self._source.open(wanted)

    def _watched(self, wanted: Descriptor, stream: BinaryIO, offset: int = 0) -> BinaryIO:
        """A stream that tells how far it is and ends when all is over."""
        return cast(BinaryIO, Counted(stream, lambda count: self._tell(wanted, count), self._over, offset))

    def _mounted(self, wanted: Descriptor) -> bool:
        """Taken over from another repository of the target's host."""
        if isinstance(self._target, Mounts) and self._target.mount(wanted, self._source):
            return True
        return self._places is not None and self._places.mount(self._target, wanted)

    def _tell(self, wanted: Descriptor, moved: int) -> None:
        if self._progress is not None:
            self._progress(wanted, moved, wanted.size)


class Counted:
    """A stream that tells how much of it was read, and stops when `over` is set."""

    def __init__(self, stream: BinaryIO, tell: Callable[[int], None], over: threading.Event, offset: int = 0) -> None:
        self._stream = stream
        self._tell = tell
        self._over = over
        self._count = offset

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes. Raises Stopped when nobody wants them any more."""
        if self._over.is_set():
            raise Stopped
        data = self._stream.read(size)
        self._count += len(data)
        self._tell(self._count)
        return data

    def tell(self) -> int:
        """Where the stream is."""
        return self._stream.tell()

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go elsewhere, to read again."""
        self._count = self._stream.seek(offset, whence)
        return self._count

    def seekable(self) -> bool:
        """As the stream is."""
        return self._stream.seekable()

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()


class Packed:
    """The store as others want to see it: layers that lie here uncompressed appear under `codec`.

    With `force` layers that came compressed in another way are changed, too. The config, and so the image id, stays
    as it is; the manifest names the compressed blobs and gets another digest.
    """

    def __init__(self, store: Store, codec: str = "gzip", level: int | None = None, *, force: bool = False) -> None:
        self._store = store
        self._local = store.repository()
        self._codec = codec
        self._level = level
        self._force = force
        self._documents: dict[Digest, bytes] = {}

    def resolve(self, name: str) -> Descriptor:
        """What a name points to, rewritten if need be. Raises BlobMissing."""
        return self.pack(self._local.resolve(name))

    def pack(self, target: Descriptor) -> Descriptor:
        """The rewritten form of a manifest or index that is here."""
        raw = self._store.blobs.read(target.digest)
        if target.media_type in mediatypes.INDEXES:
            return self._index(target, Index.parse(raw, target.media_type))
        return self._manifest(target, Manifest.parse(raw, target.media_type))

    def _index(self, target: Descriptor, index: Index) -> Descriptor:
        entries = [
            self._child(entry) if self._store.images.document(entry.digest) is not None else entry
            for entry in index.manifests
        ]
        if [entry.digest for entry in entries] == [entry.digest for entry in index.manifests]:
            return target
        return self._author(
            Index.build(entries, media_type=index.media_type, annotations=index.annotations).raw, target
        )

    def _child(self, entry: Descriptor) -> Descriptor:
        packed = self.pack(entry)
        return replace(entry, digest=packed.digest, size=packed.size)

    def _manifest(self, target: Descriptor, manifest: Manifest) -> Descriptor:
        codecs = {layer.digest: mediatypes.codec_of(layer.media_type) for layer in manifest.layers}
        change = [
            layer
            for layer in manifest.layers
            if (codecs[layer.digest] == "none" or (self._force and codecs[layer.digest] is not None))
            and codecs[layer.digest] != self._codec
        ]
        if not change:
            return target
        packed_layers = side_by_side(self._compress, change, jobs=PACKERS, over=threading.Event(), name="pybuild-pack")
        made = {layer.digest: packed for layer, packed in zip(change, packed_layers, strict=True)}
        layers = [made.get(layer.digest, layer) for layer in manifest.layers]
        packed = Manifest.build(
            manifest.config, layers, media_type=manifest.media_type, annotations=manifest.annotations
        )
        return self._author(packed.raw, target)

    def _compress(self, layer: Descriptor) -> Descriptor:
        diff_id = self._store.ingest(layer)
        if self._codec == "none":
            return Descriptor(mediatypes.OCI_LAYER, diff_id, self._store.blobs.size(diff_id))
        return self._store.variants.compress(diff_id, self._codec, self._level)

    def _author(self, raw: bytes, like: Descriptor) -> Descriptor:
        found = Descriptor.of(raw, like.media_type)
        self._documents[found.digest] = raw
        return found

    def has(self, wanted: Descriptor) -> bool:
        """True for what was rewritten and for what is here."""
        return wanted.digest in self._documents or self._local.has(wanted)

    def open(self, wanted: Descriptor) -> BinaryIO:
        """The bytes. Raises BlobMissing."""
        if (raw := self._documents.get(wanted.digest)) is not None:
            return io.BytesIO(raw)
        return self._local.open(wanted)

    def put(self, wanted: Descriptor, source: BinaryIO) -> None:
        """Nothing is put through this view."""
        raise BlobMissing(str(wanted.digest), "a view that cannot be written")

    def tag(self, name: str, target: Descriptor) -> None:
        """Nothing is named through this view."""
        raise BlobMissing(name, "a view that cannot be written")

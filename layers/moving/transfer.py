"""Images from one repository to another: documents last, blobs at the same time, nothing twice.

Documents travel as their bytes, so digests stay. Every byte is verified by whoever keeps it (the store hashes what
comes, registries verify what they get), so a copy is whole or it is not there. What is there already is not fetched: a
copy that was interrupted goes on where it was, within a large blob, too, where source and target can do that.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, cast

from layers.errors import DocumentInvalid
from layers.home.partial import WORTH
from layers.moving.crew import side_by_side
from layers.moving.places import Neighbour
from layers.moving.repository import Gathers, Mounts, Repository, Resumes, Rewrites, Sequential, Shares, document
from layers.moving.rewind import Rewindable
from layers.oci import mediatypes
from layers.oci.descriptor import Descriptor
from layers.oci.documents import Index, Manifest
from layers.oci.platform import Platform
from layers.tar.pipeline import Stopped

if TYPE_CHECKING:
    from layers.moving.places import Places

JOBS = 6
"""Blobs at the same time: enough to hide the delay of a far registry, few enough to be welcome there."""
DEPTH = 4
"""Indexes within indexes that are followed."""

Progress = Callable[[Descriptor, int, int], None]
"""Told with a blob, the bytes of it that have moved, and how many there are; from several threads."""


def copy(
    source: Repository,
    name: str | Descriptor,
    target: Repository,
    tag: str | None,
    *,
    platform: Platform | None = None,
    every: bool = False,
    partial: bool = False,
    keep_index: bool = False,
    progress: Progress | None = None,
    places: Places | None = None,
    stop: threading.Event | None = None,
) -> Descriptor:
    """Copy what `name` means at `source`, or was resolved to, and call it `tag` at `target`, unless that is None.

    Returns what is there then. Of an index the image of `platform` (this machine's) is copied, or with `every` all of
    them, or with `partial` those that `source` has; with `keep_index` the index itself comes along although some of its
    images stay behind. A source that rewrites images (`layers.moving.rewrite`) hands over the other form. Layers that
    may not be distributed stay behind; their descriptors do not. `places` remembers which registries have which blobs,
    so that they can be mounted from another repository instead of being sent. `stop` ends it with Stopped. Raises
    BlobMissing, BlobMismatch, PlatformMissing, DocumentInvalid, and what the places raise.
    """
    found = (source.resolve(name) if isinstance(name, str) else name).bare
    if found.media_type not in mediatypes.DOCUMENTS:
        raise unreadable(found)
    index: Index | None = None
    if found.media_type in mediatypes.INDEXES and not every:
        index = Index.parse(document(source, found), found.media_type)
        whole, found = found, index.choose(platform or Platform.host()).bare
    if isinstance(source, Rewrites):
        found = source.rewrite(found).bare
    work = _Copy(source, target, progress, places, stop, partial=partial)
    work.any(found)
    if index is not None and keep_index:
        work.put(whole, index.raw)
        found = whole
    if tag is not None:
        target.tag(tag, found)
    return found


def unreadable(found: Descriptor) -> DocumentInvalid:
    """Why what a name points to cannot be copied."""
    why = f"its media type {found.media_type!r} is neither a manifest nor an index"
    if ".manifest.v1+" in found.media_type:
        why = "a manifest of schema 1, which nobody can verify; have it converted where it is"
    return DocumentInvalid(f"image {found.digest}", why)


class _Copy:
    def __init__(
        self,
        source: Repository,
        target: Repository,
        progress: Progress | None,
        places: Places | None,
        stop: threading.Event | None,
        *,
        partial: bool,
    ) -> None:
        self._source = source
        self._target = target
        self._progress = progress
        self._places = places
        self._stop = stop
        self._over = threading.Event()
        self._partial = partial
        self._jobs = 1 if isinstance(target, Sequential) and target.in_order else JOBS

    def any(self, wanted: Descriptor, depth: int = 0) -> None:
        """A manifest with its blobs, or an index with everything in it; what is neither, as a blob."""
        if wanted.media_type not in mediatypes.DOCUMENTS:
            self._blob(wanted)
            return
        raw = document(self._source, wanted)
        if wanted.media_type in mediatypes.INDEXES:
            if depth == DEPTH:
                raise DocumentInvalid(f"index {wanted.digest}", f"it lies deeper than {DEPTH} indexes within indexes")
            for entry in Index.parse(raw, wanted.media_type).manifests:
                if not self._partial or self._source.has(entry):
                    self.any(entry, depth + 1)
        else:
            self._blobs(Manifest.parse(raw, wanted.media_type))
        self.put(wanted, raw)

    def put(self, wanted: Descriptor, raw: bytes) -> None:
        """Keep a document, unless it is there."""
        if not self._target.has(wanted):
            self._target.put(wanted, io.BytesIO(raw))

    def _blobs(self, manifest: Manifest) -> None:
        parts = {blob.digest: blob for blob in (*manifest.layers, manifest.config)}
        wanted = [blob for blob in parts.values() if blob.media_type not in mediatypes.FOREIGN_LAYERS]
        side_by_side(self._blob, wanted, jobs=self._jobs, over=self._over, name="pybuild-blob", stop=self._stop)

    def _blob(self, wanted: Descriptor) -> None:
        target = self._target
        seen = self._places is not None and self._places.seen(target, wanted)
        if not (seen or target.has(wanted) or self._mounted(wanted)):
            if isinstance(target, Shares):
                with target.turn(wanted, self._pause):
                    if not target.has(wanted):  # another one may have had it just before
                        self._move(wanted)
            else:
                self._move(wanted)
        self._tell(wanted, wanted.size)
        if self._places is not None:
            self._places.learn(self._source, wanted)
            self._places.learn(self._target, wanted)

    def _move(self, wanted: Descriptor) -> None:
        source, target = self._source, self._target
        if wanted.size >= WORTH and isinstance(source, Resumes) and isinstance(target, Gathers):
            target.gather(wanted, lambda offset: self._watched(wanted, source.open_from(wanted, offset), offset))
        else:
            with self._opened(wanted) as stream:
                target.put(wanted, self._watched(wanted, stream))

    def _pause(self, _: int) -> None:
        """While another one is at what we want. Raises Stopped when nobody wants it any more."""
        if self._over.is_set():
            raise Stopped

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

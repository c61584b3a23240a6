"""Images into one tar as they come: an OCI layout, which with `manifest.json` on top is docker's archive as well.

Nothing is kept twice and nothing is unpacked: a blob is written where it will stay, and taken back if it turns out to
be another one than promised. Members are in the order in which they came, so the same images make the same bytes.
Where the sink is a pipe, a wrong blob spoils the archive for good: it never gets its end, and readers see that.
"""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, BinaryIO

from layers.errors import ArchiveInvalid, BlobMismatch, BlobMissing, DocumentInvalid, PlatformMissing
from layers.moving.members import Shared
from layers.moving.names import EMPTY, LAYOUT_FILE, Names
from layers.oci import mediatypes
from layers.oci.attested import REFERENCE
from layers.oci.descriptor import Descriptor
from layers.oci.digest import Digest
from layers.oci.documents import MAX_DOCUMENT, Index, Manifest
from layers.oci.platform import Platform
from layers.oci.reference import Reference
from layers.tar.entry import Entry, EntryType
from layers.tar.header import BLOCK, header
from layers.views.tree import Content

CHUNK = 1 << 20


class ArchiveWriter:
    """A Repository that is being written; it is an archive after `finish`.

    Names of an OCI archive are kept as they are given; those of docker's (`docker`) are image references.
    """

    in_order = True

    def __init__(self, sink: BinaryIO, *, docker: bool = False, where: str = "the archive") -> None:
        self._sink = sink
        self._docker = docker
        self._where = where
        self._seekable = sink.seekable() and sink.tell() == 0
        self._at = 0
        self._spoiled = False
        self._turn = threading.RLock()
        self._folders: set[str] = set()
        self._placed: dict[Digest, tuple[int, int]] = {}
        self._documents: dict[Digest, bytes] = {}
        self._names = Names(EMPTY)
        self._tagged: dict[Digest, tuple[Descriptor, list[Reference]]] = {}

    # -- layers.Repository -----------------------------------------------------------------------

    def resolve(self, name: str) -> Descriptor:
        """What a name points to. Raises BlobMissing, NameAmbiguous."""
        return self._names.resolve(name, self._where, self._document)

    def has(self, wanted: Descriptor) -> bool:
        """True if it was put."""
        return wanted.digest in self._placed

    def open(self, wanted: Descriptor) -> BinaryIO:
        """The bytes of a document, and of a blob if the sink is a file. Raises BlobMissing."""
        if (raw := self._documents.get(wanted.digest)) is not None:
            return io.BytesIO(raw)
        if wanted.digest not in self._placed or not self._seekable:
            raise BlobMissing(str(wanted.digest), self._where)
        with self._turn:
            self._sink.flush()
        start, size = self._placed[wanted.digest]
        entry = Entry("", EntryType.FILE, 0o644, size=size, offset=start)
        return io.BufferedReader(Content(Shared(self._sink), entry), CHUNK)  # type: ignore[arg-type]

    def put(self, wanted: Descriptor, source: BinaryIO) -> None:
        """Write a blob or a document. Raises BlobMismatch, and ArchiveInvalid if a pipe was spoiled before."""
        with self._turn:
            if self.has(wanted):
                return
            if self._spoiled:
                raise ArchiveInvalid("it was spoiled by a blob that was not what it should be")
            begin = self._at
            try:
                self._folder(f"blobs/{wanted.digest.algorithm}")
                self._emit(header(Entry(path_of(wanted.digest), EntryType.FILE, 0o644, size=wanted.size)))
                start = self._at
                kept = self._data(wanted, source)
                self._emit(bytes(-wanted.size % BLOCK))
            except BaseException:
                self._take_back(begin)
                raise
            self._placed[wanted.digest] = (start, wanted.size)
            if kept is not None:
                self._documents[wanted.digest] = kept

    def tag(self, name: str, target: Descriptor) -> None:
        """Name a manifest or index that was put; "" lists it without a name. Raises BlobMissing, ReferenceInvalid."""
        if self._docker and name:
            self.call(Reference.parse(name), target)
            return
        self._enter(name, target, None)

    # -- what an archive can besides -------------------------------------------------------------

    def call(self, reference: Reference, target: Descriptor) -> None:
        """Name it as docker does, so that whoever loads it knows the whole name. Raises BlobMissing."""
        self._enter(reference.tag or "", target, str(reference))
        for _, names in self._tagged.values():
            if reference in names:
                names.remove(reference)
        self._tagged[target.digest][1].append(reference)

    def finish(self) -> None:
        """Write what names the images, and the end. Raises ArchiveInvalid if it was spoiled."""
        if self._spoiled:
            raise ArchiveInvalid("it was spoiled by a blob that was not what it should be")
        files = {"index.json": self._names.raw, "oci-layout": LAYOUT_FILE}
        if self._docker:
            files["manifest.json"] = json.dumps(list(self._lines())).encode()
        for name, text in sorted(files.items()):
            self._emit(header(Entry(name, EntryType.FILE, 0o644, size=len(text))) + text + bytes(-len(text) % BLOCK))
        self._emit(bytes(2 * BLOCK))
        self._sink.flush()

    # -- inside ----------------------------------------------------------------------------------

    def _enter(self, name: str, target: Descriptor, full: str | None) -> None:
        if not self.has(target):
            raise BlobMissing(str(target.digest), self._where)
        self._names = self._names.pointing(name, target, full)
        self._tagged.setdefault(target.digest, (target, []))

    def _document(self, digest: Digest) -> bytes:
        if (raw := self._documents.get(digest)) is None:
            raise BlobMissing(str(digest), self._where)
        return raw

    def _data(self, wanted: Descriptor, source: BinaryIO) -> bytes | None:
        """Copy what was promised; the bytes of a document come back."""
        hasher = hashlib.new(wanted.digest.algorithm)
        pieces: list[bytes] | None = (
            [] if wanted.media_type in mediatypes.DOCUMENTS and wanted.size <= MAX_DOCUMENT else None
        )
        left = wanted.size + 1
        while left and (piece := source.read(min(CHUNK, left))):
            left -= len(piece)
            if left == 0:
                break
            hasher.update(piece)
            self._emit(piece)
            if pieces is not None:
                pieces.append(piece)
        met = hasher.hexdigest()
        if left != 1 or met != wanted.digest.hex:
            raise BlobMismatch(
                wanted, received=wanted.size + 1 - left, digest=f"{wanted.digest.algorithm}:{met}" if left else None
            )
        return None if pieces is None else b"".join(pieces)

    def _take_back(self, begin: int) -> None:
        if self._seekable:
            self._sink.seek(begin)
            self._sink.truncate()
            self._at = begin
            self._folders = {f"blobs/{digest.algorithm}" for digest in self._placed}
            self._folders |= {"blobs"} if self._folders else set()
        else:
            self._spoiled = True

    def _folder(self, path: str) -> None:
        for folder in ("blobs", path):
            if folder not in self._folders:
                self._emit(header(Entry(folder, EntryType.DIR, 0o755)))
                self._folders.add(folder)

    def _emit(self, data: bytes) -> None:
        self._sink.write(data)
        self._at += len(data)

    def _lines(self) -> Iterator[dict[str, Any]]:
        """docker's list of images: each that was named, of an index one, for a name means one image to who reads it."""
        for target, names in self._tagged.values():
            if (manifest := self._image(target)) is None:
                continue
            if absent := [layer for layer in manifest.layers if layer.digest not in self._placed]:
                what = f"layer {absent[0].digest} may not be distributed and did not come"
                raise DocumentInvalid("archive for docker", f"{what}, but docker needs every layer")
            yield {
                "Config": path_of(manifest.config.digest),
                "RepoTags": [name.familiar for name in names if name.tag],
                "Layers": [path_of(layer.digest) for layer in manifest.layers],
            }

    def _image(self, target: Descriptor) -> Manifest | None:
        """A manifest that came; of an index the one for this machine, else the first."""
        raw = self._documents.get(target.digest)
        if raw is None:
            return None
        if target.media_type in mediatypes.MANIFESTS:
            return Manifest.parse(raw, target.media_type)
        if target.media_type not in mediatypes.INDEXES:
            return None
        came = [
            entry
            for entry in Index.parse(raw, target.media_type).manifests
            if self.has(entry) and REFERENCE not in entry.annotations  # docker would take statements for an image
        ]
        with suppress(PlatformMissing):
            return self._image(Index.build(came).choose(Platform.host()))
        return self._image(came[0]) if came else None


def path_of(digest: Digest) -> str:
    """Where a blob lies in a layout."""
    return f"blobs/{digest.algorithm}/{digest.hex}"

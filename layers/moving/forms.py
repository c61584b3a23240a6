"""Layers in another form: compressed, or compressed otherwise, or unpacked, wherever they lie.

A form of the store's own layer is kept by the store and made once. A layer that lies elsewhere is changed while it is
fetched, in a directory that goes with the copy, and checked on the way: what came, and what was in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from layers.errors import BlobMismatch, DocumentInvalid
from layers.home.blobs import CHUNK, Blobs
from layers.home.variants import MEDIA_TYPES
from layers.moving.repository import Repository
from layers.oci import mediatypes
from layers.oci.descriptor import Descriptor
from layers.oci.digest import DiffID, Digest

if TYPE_CHECKING:
    from layers.home.store import Store


class Forms(Protocol):
    """Where layers are made in another form."""

    def make(self, layer: Descriptor, diff_id: DiffID, codec: str) -> Descriptor:
        """The layer under `codec`, ready to be opened. Raises BlobMissing, BlobMismatch, ArchiveInvalid."""
        ...

    def open(self, wanted: Descriptor) -> BinaryIO | None:
        """The bytes of a form that was made here."""
        ...


class StoreForms:
    """Forms that a store keeps: each is made once, and found again by the next push."""

    def __init__(self, store: Store, level: int | None = None) -> None:
        self._store = store
        self._level = level

    def make(self, layer: Descriptor, diff_id: DiffID, codec: str) -> Descriptor:
        """The layer under `codec`, from what the store has."""
        met = self._store.ingest(layer)
        if codec == "none":
            return Descriptor(mediatypes.OCI_LAYER, met, self._store.blobs.size(met))
        return self._store.variants.compress(met, codec, self._level)

    def open(self, wanted: Descriptor) -> BinaryIO | None:
        """The store's own repository opens them."""
        return None


class ScratchForms:
    """Forms of layers that lie elsewhere, made in a directory for as long as a copy takes."""

    def __init__(
        self,
        source: Repository,
        scratch: Callable[[], AbstractContextManager[Path]],
        room: Path,
        level: int | None = None,
    ) -> None:
        self._source = source
        self._level = level
        (room / "blobs" / "sha256").mkdir(parents=True)
        self._blobs = Blobs(room / "blobs", lambda _: None, scratch)

    def make(self, layer: Descriptor, diff_id: DiffID, codec: str) -> Descriptor:
        """The layer under `codec`, made while it is fetched. Raises BlobMismatch, ArchiveInvalid, DocumentInvalid."""
        from layers.home.ingest import limit
        from layers.tar import codec as codecs

        with self._source.open(layer) as stream, self._blobs.writer() as writer:
            came = Metered(stream, layer.digest.algorithm, layer.size)
            packed = mediatypes.codec_of(layer.media_type) != "none"
            plain = codecs.decompress(cast(BinaryIO, came)) if packed else cast(BinaryIO, came)
            raw = Metered(plain, diff_id.algorithm, limit(layer.size))
            if codec == "none":
                while piece := raw.read(CHUNK):
                    writer.write(piece)
            else:
                level = codecs.LEVELS[codec] if self._level is None else self._level
                for piece in codecs.compress(codec, level, cast(BinaryIO, raw)):
                    writer.write(piece)
            if (came.count, came.digest) != (layer.size, layer.digest):
                raise BlobMismatch(layer, received=came.count, digest=str(came.digest))
            if raw.count > raw.most:
                raise DocumentInvalid(f"layer {layer.digest}", "it inflates to more than a layer of its size may")
            if raw.digest != diff_id:
                raise DocumentInvalid(f"layer {layer.digest}", f"it is {raw.digest}, its image's config says {diff_id}")
            digest, size = writer.commit()
        return Descriptor(MEDIA_TYPES[codec], digest, size)

    def open(self, wanted: Descriptor) -> BinaryIO | None:
        """The bytes of a form that was made here."""
        return self._blobs.open(wanted.digest) if self._blobs.has(wanted.digest) else None


class Metered:
    """A stream that is counted and hashed while it is read, and ends soon after `most` bytes."""

    def __init__(self, stream: BinaryIO, algorithm: str, most: int) -> None:
        self._stream = stream
        self._algorithm = algorithm
        self._hasher = hashlib.new(algorithm)
        self.most = most
        self.count = 0

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes; none after one byte too many."""
        left = self.most + 1 - self.count
        data = self._stream.read(left if size < 0 else min(size, left)) if left > 0 else b""
        self.count += len(data)
        self._hasher.update(data)
        return data

    @property
    def digest(self) -> Digest:
        """The name of all that was read."""
        return Digest(self._algorithm, self._hasher.hexdigest())

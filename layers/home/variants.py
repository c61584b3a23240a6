"""The compressed forms of layers, remembered so that each is made once.

A row says "the blob DIGEST is the layer DIFF_ID under CODEC at LEVEL", which stays true when the
blob is gone; whether it is here, the disk says. Level None: compressed by others, level unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from layers.home.blobs import Blobs
from layers.home.db import Database
from layers.oci import mediatypes
from layers.oci.descriptor import Descriptor
from layers.oci.digest import DiffID, Digest

MEDIA_TYPES = {"none": mediatypes.OCI_LAYER, "gzip": mediatypes.OCI_LAYER_GZIP, "zstd": mediatypes.OCI_LAYER_ZSTD}


class Variants:
    """Which blobs are which layers."""

    def __init__(self, db: Database, blobs: Blobs, lock: Callable[[str], AbstractContextManager[None]]) -> None:
        self._db = db
        self._blobs = blobs
        self._lock = lock

    def blob(self, diff_id: DiffID, codec: str, level: int | None = None) -> Descriptor | None:
        """A form of the layer that is here, of any level if `level` is None; claimed for this process."""
        if codec == "none":
            self._blobs.claim(diff_id)
            return self._describe(diff_id, "none") if self._blobs.has(diff_id) else None
        rows = self._db.rows(
            "SELECT digest FROM variant WHERE diff_id = ? AND codec = ? AND (? IS NULL OR level = ?) ORDER BY digest",
            str(diff_id),
            codec,
            level,
            level,
        )
        for (text,) in rows:
            digest = Digest.parse(text)
            self._blobs.claim(digest)
            if self._blobs.has(digest):
                return self._describe(digest, codec)
        return None

    def diff_id(self, digest: Digest) -> DiffID | None:
        """The layer that a blob is a form of, if we ever knew."""
        row = self._db.row("SELECT diff_id FROM variant WHERE digest = ?", str(digest))
        return Digest.parse(row[0]) if row else None

    def forms(self, diff_id: DiffID) -> tuple[Descriptor, ...]:
        """All compressed forms of a layer that are here."""
        rows = self._db.rows("SELECT digest, codec FROM variant WHERE diff_id = ? ORDER BY digest", str(diff_id))
        found = [(Digest.parse(text), codec) for text, codec in rows]
        return tuple(self._describe(digest, codec) for digest, codec in found if self._blobs.has(digest))

    def learn(self, digest: Digest, diff_id: DiffID, codec: str, *, level: int | None, size: int) -> None:
        """Remember that a blob is a form of a layer."""
        with self._db.write() as db:
            db.execute(
                "INSERT OR IGNORE INTO variant VALUES (?, ?, ?, ?, ?)", (str(digest), str(diff_id), codec, level, size)
            )

    def compress(self, diff_id: DiffID, codec: str, level: int | None = None) -> Descriptor:
        """The layer under `codec`, made now if no such form is here. Raises BlobMissing."""
        if found := self.blob(diff_id, codec, level):
            return found
        from layers.home.ingest import compress

        with self._lock(f"{diff_id.hex}.{codec}.{level}"):
            if found := self.blob(diff_id, codec, level):
                return found
            digest, size, used = compress(self._blobs, diff_id, codec, level)
            self.learn(digest, diff_id, codec, level=used, size=size)
            return self._describe(digest, codec)

    def _describe(self, digest: Digest, codec: str) -> Descriptor:
        return Descriptor(MEDIA_TYPES[codec], digest, self._blobs.size(digest))

"""The layer that the same COPY made last: what has not changed since is taken out of its tar, in whole stretches.

Layers are in canonical order, so entries that are equal and stand next to each other are equal bytes, headers included.
A file counts as equal if its attributes are and the digest of what it holds, which the stat cache vouches for without
reading it; that digest is kept with the layer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from layers import BlobMissing, Digest, Entry, EntryType
from layers.making.compose import Taken

if TYPE_CHECKING:
    from builder.graph import Copy
    from builder.ops.copy import Placed
    from layers import NewLayer, Store

LEAST = 64
"""Entries of a layer that is worth remembering."""
UNKNOWN = "-" * 64
"""Stands for the digest of what was not looked at."""


class Last:
    """One such layer. A context manager: its tar is open meanwhile."""

    def __init__(self, store: Store, diff_id: Digest, contents: str) -> None:
        self._rows = list(store.toc(diff_id))
        self._at = {row.path: at for at, row in enumerate(self._rows)}
        self._contents = contents
        self._tar = store.blobs.open(diff_id)

    @classmethod
    def find(cls, store: Store, directory: Path, op: Copy) -> Last | None:
        """What was kept for this instruction in this context, if its layer is here."""
        record = store.records.find(_key(directory, op))
        if record is not None:
            with suppress(BlobMissing):
                return cls(store, Digest.parse(record.value["diff_id"]), record.value["contents"])
        return None

    @staticmethod
    def keep(store: Store, directory: Path, op: Copy, layer: NewLayer, contents: Sequence[str]) -> None:
        """Remember the layer that was just made, with the digest of each of its entries ("" if not known)."""
        if len(contents) >= LEAST:
            value = {"diff_id": str(layer.diff_id), "contents": "".join(one or UNKNOWN for one in contents)}
            store.records.keep(_key(directory, op), value, [layer.diff_id])

    def __enter__(self) -> Last:
        return self

    def __exit__(self, *_: object) -> None:
        self._tar.close()

    def take(self, entries: Sequence[Entry], at: int, placed: Mapping[str, Placed]) -> Taken | None:
        """The longest stretch that begins with `entries[at]`, with a file at both ends; None if that has changed."""
        first = self._at.get(entries[at].path, -1)
        if first < 0 or entries[at].type is not EntryType.FILE:
            return None
        end = row = first
        for number in range(at, min(len(entries), at + len(self._rows) - first)):
            if not self._same(row, entries[number], placed):
                break
            row += 1
            if entries[number].type is EntryType.FILE:
                end = row
        return Taken(self._tar.fileno(), self._rows[first:end]) if end > first else None

    def _same(self, at: int, entry: Entry, placed: Mapping[str, Placed]) -> bool:
        row = self._rows[at]
        if (
            row.path != entry.path
            or row.type is not entry.type
            or row.mode != entry.mode
            or row.mtime_ns != entry.mtime_ns
            or row.size != entry.size
            or row.uid != entry.uid
            or row.gid != entry.gid
        ):
            return False
        if entry.type is EntryType.FILE:
            return self._contents[64 * at : 64 * at + 64] == placed[entry.path].content
        return (row.linkname, row.major, row.minor) == (entry.linkname, entry.major, entry.minor) and (
            row.xattrs == entry.xattrs
        )


def _key(directory: Path, op: Copy) -> str:
    text = f"{directory.resolve()} {op!r}"
    return f"copied:{hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()}"

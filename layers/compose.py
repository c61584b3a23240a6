"""Entries and their data become a layer: tar, digest, table of contents and disk in one pass."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, BinaryIO

from layers.entry import Entry, EntryType
from layers.image import NewLayer
from layers.pipeline import Behind
from layers.tarball import TarWriter
from layers.toc import Toc

if TYPE_CHECKING:
    from layers.store import Store

Data = BinaryIO | bytes | int | None


def compose(store: Store, items: Iterable[tuple[Entry, Data]]) -> NewLayer:
    """Write a layer of entries in canonical order (`layers.tarball.ordered`); its data come as TarWriter takes them.

    The blob is durable when this returns. Raises StoreFull, ArchiveInvalid, UnsafePath, and what `items` raises.
    """
    entries: list[tuple[Entry, int | None]] = []
    with store.blobs.writer() as blob:
        with Behind(blob.write) as write:
            tar = TarWriter(lambda piece: write(bytes(piece)))
            for entry, data in items:
                offset = tar.add(entry, data)
                entries.append((entry, offset if entry.type is EntryType.FILE else entry.offset))
            tar.close()
        with blob.flushing():
            toc = Toc.placed(entries)
        diff_id, size = blob.commit()
    store.keep_toc(diff_id, toc)
    return NewLayer(diff_id, size)

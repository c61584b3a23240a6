"""Entries and their data become a layer: tar, digest, table of contents and disk in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO

from layers.making.packing import Form, Packing
from layers.oci.image import NewLayer
from layers.quick import dataclass
from layers.tar.entry import Entry, EntryType
from layers.tar.pipeline import Behind
from layers.tar.tarball import BLOCK, TarWriter
from layers.tar.toc import Toc

if TYPE_CHECKING:
    from layers.home.store import Store


@dataclass(frozen=True, slots=True)
class Taken:
    """A stretch of another tar in canonical form: a file, and what follows there up to another file or the same.

    `entries` are as that tar has them, `tar` is its descriptor. The first one's header is not part of the stretch.
    """

    tar: int
    entries: Sequence[Entry]

    @property
    def start(self) -> int:
        """Where the data of the first file are."""
        return self.entries[0].offset or 0

    @property
    def end(self) -> int:
        """Where the last file's data end, filled up to a block."""
        last = self.entries[-1]
        return (last.offset or 0) + -(-last.size // BLOCK) * BLOCK


Data = BinaryIO | bytes | int | Taken | None


def compose(store: Store, items: Iterable[tuple[Entry, Data]], form: Form | None = None) -> NewLayer:
    """Write a layer of entries in canonical order (`tarball.ordered`); their data come as TarWriter takes them.

    With a Taken come all of its entries, in place of the one that stands beside it.
    With `form` it is compressed meanwhile, too. The blob is durable when this returns. Raises StoreFull,
    ArchiveInvalid, UnsafePath, and what `items` raises.
    """
    entries: list[tuple[Entry, int | None]] = []
    with store.blobs.writer() as blob, ExitStack() as undo:
        packing = undo.enter_context(Packing(store, form)) if form is not None else None
        with Behind(blob.write) as write:

            def sink(piece: memoryview) -> None:
                chunk = bytes(piece)
                write(chunk)
                if packing is not None:
                    packing.feed(chunk)

            tar = TarWriter(sink)
            for entry, data in items:
                if isinstance(data, Taken):
                    moved = tar.take(data.entries[0], data.tar, data.start, data.end) - data.start
                    entries += [(one, one.offset if one.offset is None else one.offset + moved) for one in data.entries]
                    continue
                offset = tar.add(entry, data)
                entries.append((entry, offset if entry.type is EntryType.FILE else entry.offset))
            tar.close()
        with blob.flushing():
            toc = Toc.placed(entries)
            table = toc.dumps()
        diff_id, size = blob.commit()
        if packing is not None:
            packing.finish(diff_id)
    store.keep_toc(diff_id, toc, table)
    return NewLayer(diff_id, size)

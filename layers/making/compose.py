"""Entries and their data become a layer: tar, digest, table of contents and disk in one pass."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO

from layers.making.gathering import Lent
from layers.making.packing import Form, Packing
from layers.oci.image import NewLayer
from layers.quick import dataclass
from layers.tar.entry import Entry, EntryType
from layers.tar.header import BLOCK
from layers.tar.pipeline import DEPTH
from layers.tar.plain import PlainFiles
from layers.tar.tarball import TarWriter
from layers.tar.toc import FILE, OFFSET, PATH, SIZE, TIME, Row, Toc, entry_of, row_of

if TYPE_CHECKING:
    from layers.home.store import Store


EMPTY: Mapping[str, int] = {}
BUFFERS = DEPTH + 2
"""Chunks of memory for a tar: so many are being hashed, are waiting for that, or are being filled."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A stretch of another tar in canonical form: a file, and what follows there up to another file or the same.

    `rows` are what its table of contents has, `tar` is its descriptor. The first one's header is not part of the
    stretch.
    """

    tar: int
    rows: Sequence[Row]

    @property
    def start(self) -> int:
        """Where the data of the first file are."""
        return int(self.rows[0][OFFSET])

    @property
    def end(self) -> int:
        """Where the last file's data end, filled up to a block."""
        last = self.rows[-1]
        return int(last[OFFSET] + -(-last[SIZE] // BLOCK) * BLOCK)


Data = BinaryIO | bytes | int | None
Piece = PlainFiles | Lent | Taken | tuple[Entry, Data]
"""What a layer is put together from."""


def compose(
    store: Store, pieces: Iterable[Piece], form: Form | None = None, original: Mapping[str, int] = EMPTY
) -> NewLayer:
    """Write a layer of entries in canonical order (`tarball.ordered`); their data come as TarWriter takes them.

    With `form` it is compressed meanwhile, too. `original`: by path the times, nanoseconds since 1970, that entries
    with other ones have had (`Toc.original`). The blob is durable when this returns. Raises StoreFull,
    ArchiveInvalid, UnsafePath, FileChanged, FileUnreadable, and what `pieces` raises.
    """
    rows: list[Row] = []
    with store.blobs.writer() as blob, ExitStack() as undo:
        packing = undo.enter_context(Packing(store, form)) if form is not None else None

        def sink(piece: memoryview) -> None:
            blob.write(piece)
            if packing is not None:
                packing.feed(bytes(piece))

        tar = TarWriter(sink, BUFFERS)
        for piece in pieces:
            if isinstance(piece, PlainFiles):
                rows += _rows(piece, *tar.add_files(piece))
            elif isinstance(piece, Lent):
                rows += _rows(piece.files, *piece.write(tar))
            elif isinstance(piece, Taken):
                moved = tar.take(entry_of(piece.rows[0]), piece.tar, piece.start, piece.end) - piece.start
                rows += [
                    row if row[OFFSET] is None else (*row[:OFFSET], row[OFFSET] + moved, *row[OFFSET + 1 :])
                    for row in piece.rows
                ]
            else:
                entry, data = piece
                offset = tar.add(entry, data)
                rows.append(row_of(entry, offset if entry.type is EntryType.FILE else entry.offset))
        tar.close()
        with blob.flushing():
            toc = Toc(rows, _times(rows, original) if original else None)
            table = toc.dumps()
        diff_id, size = blob.commit()
        if packing is not None:
            packing.finish(diff_id)
    store.keep_toc(diff_id, toc, table)
    return NewLayer(diff_id, size)


def _times(rows: Sequence[Row], original: Mapping[str, int]) -> array[int] | None:
    """The times of all, if some have had others than the tar says."""
    found = [original.get(row[PATH], row[TIME]) for row in rows]
    return None if found == [row[TIME] for row in rows] else array("q", found)


def _rows(files: PlainFiles, offsets: Sequence[int], attributes: Mapping[int, Mapping[str, bytes]]) -> list[Row]:
    """The rows of files that were written."""
    prefix, uid, gid = files.prefix, files.uid, files.gid
    rows: list[Row] = [
        (prefix + name, FILE, mode, uid, gid, size, mtime_ns, offset, "", None)
        for name, mode, size, mtime_ns, offset in zip(
            files.names, files.modes, files.sizes(), files.mtimes_ns, offsets, strict=True
        )
    ]
    for at, found in attributes.items():
        rows[at] = row_of(files.entry(at, found), offsets[at])
    return rows

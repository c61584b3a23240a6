"""The layer that the same COPY made last: what has not changed since is taken out of its tar, in whole stretches.

Layers are in canonical order, so entries that are equal and stand next to each other are equal bytes, headers included.
A file counts as equal if its attributes are and the digest of what it holds, which the stat cache vouches for without
reading it; that digest is kept with the layer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from builder.contexts.batch import HEX, UNKNOWN
from layers import BlobMissing, Digest, Entry, EntryType
from layers.making.compose import Taken
from layers.tar.plain import PlainFiles
from layers.tar.toc import FILE, PATH, entry_of

if TYPE_CHECKING:
    from builder.graph import Copy
    from layers import NewLayer, Store

LEAST = 64
"""Entries of a layer that is worth remembering."""

Part = tuple[Entry | PlainFiles, str]
"""What a layer is put together from, with the digests of what it holds, one behind the other; "" if not known."""


class Last:
    """One such layer. A context manager: its tar is open meanwhile."""

    def __init__(self, store: Store, diff_id: Digest, contents: str) -> None:
        self._rows = store.toc(diff_id).rows
        self._at = {row[PATH]: at for at, row in enumerate(self._rows)}
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
        """Remember the layer that was just made, with the digests of what its parts hold ("" if not known)."""
        whole = "".join(one or UNKNOWN for one in contents)
        if len(whole) >= HEX * LEAST:
            store.records.keep(_key(directory, op), {"diff_id": str(layer.diff_id), "contents": whole}, [layer.diff_id])

    def __enter__(self) -> Last:
        return self

    def __exit__(self, *_: object) -> None:
        self._tar.close()

    def spare(self, parts: Iterable[Part]) -> Iterator[Entry | PlainFiles | Taken]:
        """The same parts in the same order, but stretches with a file at both ends for all that has not changed."""
        held: list[tuple[Entry | PlainFiles, int]] = []
        following = -1
        for part in parts:
            for what, row in self._found(*part):
                if row < 0 or row != following:
                    yield from self._stretch(held)
                    held = []
                if row < 0:
                    yield what
                    following = -1
                else:
                    held.append((what, row))
                    following = row + _count(what)
        yield from self._stretch(held)

    def _stretch(self, held: Sequence[tuple[Entry | PlainFiles, int]]) -> Iterator[Entry | PlainFiles | Taken]:
        """Parts that are one behind the other there, too."""
        files = [at for at, (what, _) in enumerate(held) if isinstance(what, PlainFiles) or what.type is EntryType.FILE]
        first, end = (files[0], files[-1] + 1) if files else (0, 0)
        yield from (what for what, _ in held[:first])
        if files:
            last, row = held[end - 1]
            yield Taken(self._tar.fileno(), self._rows[held[first][1] : row + _count(last)])
        yield from (what for what, _ in held[end:])

    def _found(self, what: Entry | PlainFiles, content: str) -> Iterator[tuple[Entry | PlainFiles, int]]:
        """A part with the row that it begins in, -1 if it has changed; files piece by piece if only some have not."""
        if isinstance(what, Entry):
            row = self._at.get(what.path, -1)
            yield what, row if row >= 0 and self._same(row, what, content) else -1
            return
        row = self._at.get(what.prefix + what.names[0], -1)
        if row >= 0 and self._all_same(row, what, content):
            yield what, row
            return
        rows = []
        for at, name in enumerate(what.names):
            row = self._at.get(what.prefix + name, -1)
            one = content[HEX * at : HEX * at + HEX]
            rows.append(row if row >= 0 and self._same(row, what.entry(at, {}), one) else -1)
        start = 0
        for at in range(1, len(rows) + 1):
            if at == len(rows) or rows[at] != (rows[at - 1] + 1 if rows[at - 1] >= 0 else -1):
                yield what.part(start, at), rows[start]
                start = at

    def _all_same(self, first: int, files: PlainFiles, contents: str) -> bool:
        end = first + len(files)
        if self._contents[HEX * first : HEX * end] != contents:
            return False
        paths, kinds, modes, uids, gids, sizes, times, *_ = zip(*self._rows[first:end], strict=True)
        return (
            paths == tuple(map(files.prefix.__add__, files.names))
            and set(kinds) == {FILE}
            and modes == tuple(files.modes)
            and sizes == tuple(files.sizes())
            and times == tuple(files.mtimes_ns)
            and set(uids) == {files.uid}
            and set(gids) == {files.gid}
        )

    def _same(self, at: int, entry: Entry, content: str) -> bool:
        row = entry_of(self._rows[at])
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
            return self._contents[HEX * at : HEX * at + HEX] == content
        return (row.linkname, row.major, row.minor) == (entry.linkname, entry.major, entry.minor) and (
            row.xattrs == entry.xattrs
        )


def _count(what: Entry | PlainFiles) -> int:
    """Rows of a part."""
    return 1 if isinstance(what, Entry) else len(what)


def _key(directory: Path, op: Copy) -> str:
    text = f"{directory.resolve()} {op!r}"
    return f"copied:{hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()}"

"""The table of contents of one layer: what its tar says, once its rules have been applied.

A Toc is a normal form (OCI image-spec, layer.md): every path once, in canonical order
(`tarball.order`); nothing below a file; deletions as deletions, and only where they can have an
effect; of each hard-link group the first name is the file and the others link to it. Links to
files of lower layers stay links. Directories that nothing but their children imply are not listed.
Equal contents therefore give equal tables, whatever the order in the tar.

Of a layer that was made here it may also say which times its files had then (`Toc.original`), where the tar has others:
later steps of a build have to see those, or programs that compare times would take new files for old ones.
"""

from __future__ import annotations

import json
from array import array
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, BinaryIO

from layers.disk.paths import encode
from layers.errors import ArchiveInvalid
from layers.tar import tarread
from layers.tar.entry import Entry, EntryType
from layers.tar.normal import Normaliser

FORMAT = 1
_KINDS = tuple(EntryType)
CODES = {kind: number for number, kind in enumerate(_KINDS)}
FILE = CODES[EntryType.FILE]
_DIR = CODES[EntryType.DIR]
_SYMLINK, _HARDLINK = CODES[EntryType.SYMLINK], CODES[EntryType.HARDLINK]
_WHITEOUT, _OPAQUE = CODES[EntryType.WHITEOUT], CODES[EntryType.OPAQUE]

# path, kind code, mode, uid, gid, size, mtime_ns, offset, linkname, rest (device numbers, xattrs, sparse map)
Row = Sequence[Any]
PATH, SIZE, TIME, OFFSET = 0, 5, 6, 7
"""Columns."""


class Toc:
    """Entries of one layer by path, as its tar has them. Immutable; made once per layer and shared between views."""

    def __init__(self, rows: Sequence[Row], times: array[int] | None = None) -> None:
        """`times`: those that the entries had, nanoseconds since 1970, if the tar has others."""
        self._rows = rows
        self.times = times
        self._at: dict[str, int] | None = None
        self._kids: dict[str, list[str]] = {}
        self._deleted: dict[str, list[str]] = {}
        self._opaque: set[str] = set()
        self._ways: dict[str, set[str]] = {}
        self._targets: set[str] | None = None

    @classmethod
    def scan(cls, tar: BinaryIO, *, layer: bool = True, warn: Callable[[str], object] = lambda _: None) -> Toc:
        """Read the headers of a raw tar in a seekable file.

        With `layer=False` it is any archive: names like ".wh.x" are refused instead of obeyed. Raises
        ArchiveInvalid and UnsafePath; `warn` gets sentences about what was tolerated.
        """
        state = Normaliser(layer=layer, warn=warn)
        for entry in tarread.entries(tar):
            state.add(entry)
        return cls.of(state.entries())

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Toc:
        """A table of entries that are in normal form already (written in canonical order)."""
        return cls([row_of(entry, entry.offset) for entry in entries])

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Entry]:
        return map(entry_of, self.rows)

    @property
    def rows(self) -> Sequence[Row]:
        """The entries as they are kept, for whoever looks at every one: an Entry takes longer to make than to read."""
        return self._rows

    @property
    def is_original(self) -> bool:
        """True for a table with other times than its tar has."""
        return isinstance(self, _Original)

    @cached_property
    def original(self) -> Toc:
        """The same with the times that its files had when it was made here; what directories of layers show."""
        return self if self.times is None else _Original(self, self.times)

    @property
    def size(self) -> int:
        """Bytes of all files, each hard-link group once, and of the texts of symlinks, as `docker history` counts."""
        return sum(row[5] + (len(encode(row[8])) if row[1] == _SYMLINK else 0) for row in self._rows)

    # What Tree asks -------------------------------------------------------------------------------

    def get(self, path: str) -> Entry | None:
        """The entry of a path that exists in this layer; deletions are not entries here."""
        at = self._index().get(path, -1)
        return self._entry(at) if at >= 0 else None

    def paths(self) -> Iterable[str]:
        """Every path that exists in this layer, listed or implied."""
        return self._index().keys()

    def holds(self, path: str) -> bool:
        """True if the path exists in this layer: listed, or a directory implied by what is below it."""
        return path in self._index()

    def is_dir(self, path: str) -> bool:
        """True if the path is a directory in this layer, listed or implied."""
        at = self._index().get(path)
        return at is not None and (at < 0 or self._rows[at][1] == _DIR)

    def deletes(self, path: str) -> bool:
        """True if a whiteout of this layer hides exactly this path of lower layers."""
        self._index()
        head, _, name = path.rpartition("/")
        return name in self._deleted.get(head, ())

    def is_opaque(self, path: str) -> bool:
        """True if this layer hides everything that lower layers have below this directory."""
        self._index()
        return path in self._opaque

    def hides(self, path: str) -> bool:
        """True if a deletion of this layer, of the path or above it, hides what lower layers have there."""
        if self.deletes(path):
            return True
        while path:
            path = path.rpartition("/")[0]
            if self.is_opaque(path) or self.deletes(path):
                return True
        return False

    def children(self, path: str) -> Sequence[str]:
        """Names in a directory of this layer, in order."""
        self._index()
        return self._kids.get(path, ())

    def deleted(self, path: str) -> Sequence[str]:
        """Names that whiteouts of this layer hide in a directory, in order."""
        self._index()
        return self._deleted.get(path, ())

    def mentions(self, path: str) -> Iterator[str]:
        """Names in a directory that this layer says anything about, be it only that something further down is gone."""
        yield from self.children(path)
        yield from self.deleted(path)
        yield from self._ways.get(path, ())

    def touches(self, path: str) -> bool:
        """True if this layer says anything about a directory's children: entries or whiteouts."""
        self._index()
        return path in self._kids or path in self._deleted

    def links_to(self, path: str) -> bool:
        """True if a hard link of this layer is another name of this path, here or in a lower layer."""
        if self._targets is None:
            self._targets = {row[8] for row in self._rows if row[1] == _HARDLINK}
        return path in self._targets

    def _entry(self, at: int) -> Entry:
        return entry_of(self._rows[at])

    def _index(self) -> dict[str, int]:
        """Positions by path; -1 for implied directories, which whiteouts alone do not make."""
        if self._at is not None:
            return self._at
        at: dict[str, int] = {}
        kids, deleted, opaque = self._kids, self._deleted, self._opaque
        for number, row in enumerate(self._rows):
            path, kind = row[0], row[1]
            head, _, name = path.rpartition("/")
            if kind == _WHITEOUT:
                deleted.setdefault(head, []).append(name)
                continue
            if kind == _OPAQUE:
                opaque.add(path)
                if path not in at and path:
                    _imply(path, at, kids)
                continue
            if path not in at and path:
                if head and head not in at:
                    _imply(head, at, kids)
                kids.setdefault(head, []).append(name)
            at[path] = number
        for place in deleted:  # so that a view finds the way down to whiteouts
            head = place
            while head and head not in at:
                kids.setdefault(head, [])
                head, _, name = head.rpartition("/")
                ways = self._ways.setdefault(head, set())
                if name in ways:
                    break
                ways.add(name)
        self._at = at
        return at

    # On disk --------------------------------------------------------------------------------------

    def dumps(self) -> bytes:
        """The table as JSON; any path survives (lone surrogates are escaped)."""
        whole: dict[str, Any] = {"format": FORMAT, "rows": self._rows}
        if self.times is not None:
            whole["times"] = b64encode(self.times.tobytes()).decode()
        return json.dumps(whole, separators=(",", ":"), check_circular=False).encode()

    @classmethod
    def loads(cls, data: bytes) -> Toc:
        """What `dumps` wrote. Raises ArchiveInvalid if it is of another format or damaged."""
        try:
            document = json.loads(data)
            if document["format"] == FORMAT:
                times = array("q", b64decode(document["times"])) if "times" in document else None
                if times is None or len(times) == len(document["rows"]):
                    return cls(document["rows"], times)
        except (ValueError, KeyError, TypeError):
            pass
        raise ArchiveInvalid(f"a table of contents that is not of format {FORMAT}; it can be made again from its tar")


class _Original(Toc):
    """A table with other times, which stands on the one that it is of: few of many entries are asked for."""

    def __init__(self, toc: Toc, times: array[int]) -> None:
        super().__init__(toc._rows)
        self._toc = toc
        self._moments = times
        self._kids, self._deleted, self._opaque, self._ways = toc._kids, toc._deleted, toc._opaque, toc._ways

    @cached_property
    def rows(self) -> Sequence[Row]:
        return list(map(_timed, self._rows, self._moments))

    def _entry(self, at: int) -> Entry:
        return entry_of(_timed(self._rows[at], self._moments[at]))

    def _index(self) -> dict[str, int]:
        return self._toc._index()


def _timed(row: Row, time: int) -> Row:
    """A row with its other time."""
    return row if row[TIME] == time else (*row[:TIME], time, *row[TIME + 1 :])


def _imply(path: str, at: dict[str, int], kids: dict[str, list[str]]) -> None:
    """Enter a directory, and those above it, that no entry of the layer lists."""
    while path and path not in at:
        at[path] = -1
        head, _, name = path.rpartition("/")
        kids.setdefault(head, []).append(name)
        path = head


def row_of(entry: Entry, offset: int | None) -> Row:
    """An entry as a table keeps it."""
    rest: dict[str, Any] | None = None
    if entry.xattrs or entry.major or entry.minor or entry.sparse is not None:
        rest = {}
        if entry.major or entry.minor:
            rest["dev"] = [entry.major, entry.minor]
        if entry.xattrs:
            rest["xattrs"] = {key: value.hex() for key, value in entry.xattrs.items()}
        if entry.sparse is not None:
            rest["sparse"] = entry.sparse
    return (
        entry.path, CODES[entry.type], entry.mode, entry.uid, entry.gid, entry.size, entry.mtime_ns, offset,
        entry.linkname, rest,
    )  # fmt: skip


def entry_of(row: Row) -> Entry:
    """The entry of a row."""
    path, code, mode, uid, gid, size, mtime_ns, offset, linkname, rest = row
    if rest is None:
        return Entry(path, _KINDS[code], mode, uid, gid, size, mtime_ns, linkname, offset=offset)
    major, minor = rest.get("dev", (0, 0))
    xattrs = {key: bytes.fromhex(value) for key, value in rest.get("xattrs", {}).items()}
    pieces = tuple((position, length) for position, length in rest["sparse"]) if "sparse" in rest else None
    return Entry(path, _KINDS[code], mode, uid, gid, size, mtime_ns, linkname, major, minor, xattrs, offset, pieces)

"""One layer as a tar, always the same bytes for the same entries.

The profile: canonical order (`ordered`), ustar headers where they suffice, else one PAX header
with sorted keys in front; numeric owners only; no access or change times; whiteouts as empty
files of nobody (OCI image-spec, layer.md, "Whiteouts"); two zero blocks at the end, no padding to
a record. Seconds of a modification time are in the header; nanoseconds, if any, in a PAX record.
"""

from __future__ import annotations

import os
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import BinaryIO
from urllib.parse import quote

from layers.disk.paths import encode
from layers.errors import ArchiveInvalid, UnsafePath
from layers.tar import pax
from layers.tar.entry import SECOND, Entry, EntryType

BLOCK = 512
CHUNK = 1 << 20
WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"

_FLAGS = {
    EntryType.FILE: b"0",
    EntryType.HARDLINK: b"1",
    EntryType.SYMLINK: b"2",
    EntryType.CHAR: b"3",
    EntryType.BLOCK: b"4",
    EntryType.DIR: b"5",
    EntryType.FIFO: b"6",
}
_ZEROS = bytes(BLOCK)
_MAX_ID = 0o7777777
_MAX_SIZE = 0o77777777777
_DELETIONS = (EntryType.WHITEOUT, EntryType.OPAQUE)


def order(entry: Entry) -> bytes:
    """Sort key of the canonical order: depth first, names by their bytes, a directory before its
    children, deletions before their siblings."""
    raw = encode(entry.path).replace(b"/", b"\0")
    if entry.type is EntryType.OPAQUE:
        return b"\0%b\0\0" % raw if raw else b"\0\0"
    if entry.type is EntryType.WHITEOUT:
        head, _, name = raw.rpartition(b"\0")
        return b"\0%b\0\0%b" % (head, name) if head else b"\0\0" + name
    return b"\0" + raw if raw else b""


def ordered(entries: Iterable[Entry]) -> list[Entry]:
    """Entries in canonical order."""
    return sorted(entries, key=order)


class TarWriter:
    """Writes entries as they come; order them first (`ordered`).

    `sink` gets pieces of exactly CHUNK bytes, except the last; each is a view of one buffer and
    must be used up before `sink` returns.
    """

    def __init__(self, sink: Callable[[memoryview], object]) -> None:
        self._sink = sink
        self._buffer = memoryview(bytearray(CHUNK))
        self._used = 0
        self._flushed = 0

    def add(self, entry: Entry, data: BinaryIO | bytes | int | None = None) -> int:
        """Write one entry; return the offset of its data in the tar.

        `data` is what a FILE holds: exactly `entry.size` bytes of a stream, of bytes, or of a
        descriptor from its position on. Raises ArchiveInvalid if there are fewer, UnsafePath for a name that a
        layer cannot hold.
        """
        head, size = header(entry), entry.size
        if isinstance(data, int) and entry.type is EntryType.FILE and len(head) + size < CHUNK - self._used:
            return self._add_small(entry, head, data, size)
        self._write(head)
        start = self._flushed + self._used
        if entry.type is EntryType.FILE and size:
            self._copy(entry, data, size)
            self._write(_ZEROS[: -size % BLOCK])
        return start

    def _add_small(self, entry: Entry, head: bytes, data: int, size: int) -> int:
        """The same for a file that fits into what is left of the buffer: most do, and cost a third then."""
        start = self._used + len(head)
        self._buffer[self._used : start] = head
        count = os.readv(data, [self._buffer[start : start + size]]) if size else 0
        self._used = start + count
        offset = self._flushed + start
        if count < size:
            self._copy(entry, data, size - count)
        self._write(_ZEROS[: -size % BLOCK])
        return offset

    def take(self, entry: Entry, tar: int, start: int, end: int) -> int:
        """Write the header of a file, and for what follows it the bytes from `start` to `end` of another tar.

        Returns the offset of the file's data. Raises ArchiveInvalid if that tar is shorter.
        """
        self._write(header(entry))
        offset = self._flushed + self._used
        while start < end:
            stop = min(CHUNK, self._used + end - start)
            count = os.preadv(tar, [self._buffer[self._used : stop]], start)
            if not count:
                raise ArchiveInvalid(f"{entry.path!r} was to be taken from a tar that ends too early")
            start += count
            self._used += count
            if self._used == CHUNK:
                self._flush()
        return offset

    def close(self) -> int:
        """Write the end mark and what is buffered; return the size of the tar."""
        self._write(_ZEROS)
        self._write(_ZEROS)
        self._flush()
        return self._flushed

    def _write(self, data: bytes) -> None:
        done = 0
        while done < len(data):
            room = CHUNK - self._used
            piece = data[done : done + room] if done or len(data) > room else data
            self._buffer[self._used : self._used + len(piece)] = piece
            self._used += len(piece)
            done += len(piece)
            if self._used == CHUNK:
                self._flush()

    def _flush(self) -> None:
        if self._used:
            self._sink(self._buffer[: self._used])
            self._flushed += self._used
            self._used = 0

    def _copy(self, entry: Entry, data: BinaryIO | bytes | int | None, left: int) -> None:
        if isinstance(data, bytes):
            if len(data) != entry.size:
                raise ArchiveInvalid(f"{entry.path!r} should have {entry.size} bytes but has {len(data)}")
            self._write(data)
            return
        if data is None:
            raise ArchiveInvalid(f"{entry.path!r} has {entry.size} bytes, but none were given")
        fill = _filler(data)
        while left:
            stop = min(CHUNK, self._used + left)
            count = fill(self._buffer[self._used : stop])
            if not count:
                raise ArchiveInvalid(
                    f"{entry.path!r} became shorter while it was read: {left} of {entry.size} bytes are missing"
                )
            self._used += count
            left -= count
            if self._used == CHUNK:
                self._flush()


def _filler(data: BinaryIO | int) -> Callable[[memoryview], int]:
    """A function that reads some bytes into a buffer and returns how many."""
    if isinstance(data, int):
        return lambda view: os.readv(data, [view])
    into = getattr(data, "readinto", None)
    if into is not None:
        return into  # type: ignore[no-any-return]

    def fill(view: memoryview) -> int:
        piece = data.read(len(view))
        view[: len(piece)] = piece
        return len(piece)

    return fill


def header(entry: Entry) -> bytes:
    """The header blocks of one entry (one block, or a PAX header and one block)."""
    kind = entry.type
    if kind in _DELETIONS:
        return _deletion(entry)
    path = encode(entry.path)
    if b".wh." in path and any(part.startswith(b".wh.") for part in path.split(b"/")):
        raise UnsafePath(entry.path, 'a layer cannot hold names that begin with ".wh.": they mean deletions')
    name = path + b"/" if kind is EntryType.DIR else path
    if not path:
        if kind is not EntryType.DIR:
            raise UnsafePath(entry.path, "only a directory can be the root")
        name = b"./"
    extra: list[tuple[bytes, bytes]] = []
    prefix = b""
    if len(name) > 100 or not name.isascii():
        split = _split(name) if name.isascii() else None
        if split is None:
            extra.append((b"path", name))
            name = _plain(name, 100)
        else:
            prefix, name = split
    link = encode(entry.linkname) if entry.linkname else b""
    if len(link) > 100 or not link.isascii():
        extra.append((b"linkpath", link))
        link = _plain(link, 100)
    uid, gid = entry.uid, entry.gid
    if uid > _MAX_ID:
        extra.append((b"uid", b"%d" % uid))
        uid = 0
    if gid > _MAX_ID:
        extra.append((b"gid", b"%d" % gid))
        gid = 0
    size = entry.size if kind is EntryType.FILE else 0
    if size > _MAX_SIZE:
        extra.append((b"size", b"%d" % size))
        size = 0
    mtime, fraction = divmod(entry.mtime_ns, SECOND)
    if fraction or not 0 <= mtime <= _MAX_SIZE:
        extra.append((b"mtime", pax.time(entry.mtime_ns)))
        mtime = min(max(mtime, 0), _MAX_SIZE)
    if entry.xattrs:
        extra += [_xattr(key, value) for key, value in entry.xattrs.items()]
    block = _block(name, entry.mode, uid, gid, size, mtime, _FLAGS[kind], link, entry.major, entry.minor, prefix)
    return _pax_header(path, extra) + block if extra else block


def _deletion(entry: Entry) -> bytes:
    """A whiteout or opaque mark: an empty file of nobody, from no time."""
    if entry.type is EntryType.OPAQUE:
        path = f"{entry.path}/{OPAQUE}" if entry.path else OPAQUE
    else:
        head, slash, name = entry.path.rpartition("/")
        path = f"{head}{slash}{WHITEOUT}{name}"
    raw = encode(path)
    if len(raw) <= 100 and raw.isascii():
        return _block(raw, 0, 0, 0, 0, 0, b"0", b"", 0, 0, b"")
    split = _split(raw) if raw.isascii() else None
    if split is not None:
        return _block(split[1], 0, 0, 0, 0, 0, b"0", b"", 0, 0, split[0])
    return _pax_header(raw, [(b"path", raw)]) + _block(_plain(raw, 100), 0, 0, 0, 0, 0, b"0", b"", 0, 0, b"")


def _block(  # noqa: PLR0917 the fields of the block, in its order
    name: bytes, mode: int, uid: int, gid: int, size: int, mtime: int, flag: bytes, link: bytes, major: int, minor: int,
    prefix: bytes,
) -> bytes:  # fmt: skip
    """One ustar header block. All bytes are ASCII, so their sum stays below the modulus of Adler-32, which adds
    bytes (its low half is one plus their sum) some forty times faster than `sum`."""
    head = b"%b%b%011o\0%011o\0" % (name.ljust(100, b"\0"), _owner(mode, uid, gid), size, mtime)
    tail, total = _tail(flag, link, major, minor, prefix)
    total += (zlib.adler32(head) & 0xFFFF) - 1
    return b"%b%06o\0 %b" % (head, total, tail)


@lru_cache(256)
def _owner(mode: int, uid: int, gid: int) -> bytes:
    """Three fields that many entries have in common."""
    return b"%07o\0%07o\0%07o\0" % (mode, uid, gid)


@lru_cache(256)
def _tail(flag: bytes, link: bytes, major: int, minor: int, prefix: bytes) -> tuple[bytes, int]:
    """What follows the checksum, the same for most entries; and its share of the checksum, blanks included."""
    tail = b"%b%bustar\x0000%b%07o\0%07o\0%b" % (flag, link.ljust(100, b"\0"), bytes(64), major, minor, prefix)
    tail = tail.ljust(BLOCK - 156, b"\0")
    return tail, (zlib.adler32(tail) & 0xFFFF) - 1 + 8 * 0x20


def _pax_header(path: bytes, extra: list[tuple[bytes, bytes]]) -> bytes:
    body = pax.records(extra)
    name = b"PaxHeaders.0/" + _plain(path.rpartition(b"/")[2], 87)
    block = _block(name, 0o644, 0, 0, len(body), 0, b"x", b"", 0, 0, b"")
    return block + body + _ZEROS[: -len(body) % BLOCK]


def _split(name: bytes) -> tuple[bytes, bytes] | None:
    """A long name as ustar's prefix and name, the prefix as long as it can be."""
    at = name.rfind(b"/", 0, min(156, len(name) - 1))
    if at <= 0 or len(name) - at - 1 > 100:
        return None
    return name[:at], name[at + 1 :]


def _plain(name: bytes, limit: int) -> bytes:
    """What readers without PAX see: ASCII only, cut to fit."""
    return name[:limit] if name.isascii() else name.decode("ascii", "ignore").encode()[:limit]


def _xattr(key: str, value: bytes) -> tuple[bytes, bytes]:
    """An extended attribute as a PAX record; a name with "=" only fits libarchive's form."""
    if "=" in key:
        return b"LIBARCHIVE.xattr." + quote(encode(key), safe=".").encode(), b64encode(value).rstrip(b"=")
    return b"SCHILY.xattr." + encode(key), value

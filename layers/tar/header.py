"""The header of an entry in a tar: one ustar block where that suffices, else a PAX header in front of it."""

from __future__ import annotations

import zlib
from base64 import b64encode
from collections.abc import Iterator, Sequence
from functools import lru_cache
from urllib.parse import quote

from layers.disk.paths import encode
from layers.errors import UnsafePath
from layers.tar import pax
from layers.tar.entry import SECOND, Entry, EntryType
from layers.tar.plain import PlainFiles

BLOCK = 512
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


def plain_headers(files: PlainFiles, names: Sequence[bytes]) -> Iterator[bytes]:
    """The same of each of these files, as if none had extended attributes; `names` are theirs as bytes."""
    prefix = encode(files.prefix)
    if (
        len(prefix) + max(map(len, names)) > 100
        or not (prefix.isascii() and b"".join(names).isascii())
        or b"/.wh." in b"/%b%b" % (prefix, b"/".join(names))
        or max(files.uid, files.gid) > _MAX_ID
        or max(files.sizes()) > _MAX_SIZE
        or not 0 <= min(files.mtimes_ns) <= max(files.mtimes_ns) <= _MAX_SIZE * SECOND
        or any(mtime_ns % SECOND for mtime_ns in files.mtimes_ns)
    ):
        for at in range(len(files)):
            yield header(files.entry(at, {}))
        return
    uid, gid = files.uid, files.gid
    tail, total = _tail(b"0", b"", 0, 0, b"")
    total -= 1
    for name, mode, size, mtime_ns in zip(names, files.modes, files.sizes(), files.mtimes_ns, strict=True):
        head = b"%b%b%011o\0%011o\0" % (
            (prefix + name).ljust(100, b"\0"), _owner(mode, uid, gid), size, mtime_ns // SECOND
        )  # fmt: skip
        yield b"%b%06o\0 %b" % (head, total + (zlib.adler32(head) & 0xFFFF), tail)


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

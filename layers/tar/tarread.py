"""Reads any tar: ustar, old GNU, PAX, base-256 numbers, sparse files.

Only headers are read; an Entry says where its data lie. Nothing is believed: every number is
checked before it is used, no loop is longer than the archive, and every complaint names the byte
where the trouble is (ArchiveInvalid). Names come out normalised (UnsafePath if that cannot be).
What a layer means by its names (whiteouts, duplicates) is for `layers.tar.toc`.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from base64 import b64decode
from collections.abc import Callable, Iterator
from typing import BinaryIO
from urllib.parse import unquote_to_bytes

from layers.disk.paths import PATH_BYTES, decode, normalise
from layers.errors import ArchiveInvalid, UnsafePath
from layers.tar import pax, sparse
from layers.tar.entry import SECOND, Entry, EntryType

BLOCK = 512
MAX_EXTENDED = 1 << 20  # bytes of one PAX header or GNU long name
MAX_ENTRIES = 5_000_000
_WINDOW = 256 << 10
_FIELDS = struct.Struct("100s8s8s8s12s12s8sc100s8s64s8s8s155s12x").unpack_from
_ZEROS = bytes(BLOCK)
_SPACES = b" " * 8
_TYPES = {
    b"0": EntryType.FILE,
    b"\0": EntryType.FILE,
    b"7": EntryType.FILE,
    b"S": EntryType.FILE,
    b"1": EntryType.HARDLINK,
    b"2": EntryType.SYMLINK,
    b"3": EntryType.CHAR,
    b"4": EntryType.BLOCK,
    b"5": EntryType.DIR,
    b"6": EntryType.FIFO,
}
_LINKS = (EntryType.HARDLINK, EntryType.SYMLINK)
_DEVICES = (EntryType.CHAR, EntryType.BLOCK)
_MAX_ID = 0xFFFFFFFE  # (uid_t)-1 means "leave it" to chown(2)
_SCHILY, _LIBARCHIVE = b"SCHILY.xattr.", b"LIBARCHIVE.xattr."

Read = Callable[[int, int], bytes]


def reader(file: BinaryIO) -> Read:
    """read(offset, length) for a seekable file; short only at its end."""
    try:
        fd = file.fileno()
    except (io.UnsupportedOperation, AttributeError):

        def read(offset: int, length: int) -> bytes:
            file.seek(offset)
            return file.read(length)

        return read
    return lambda offset, length: os.pread(fd, length, offset)


def entries(file: BinaryIO) -> Iterator[Entry]:
    """All members of the tar in a seekable file, in its order."""
    return _Scan(reader(file), file.seek(0, os.SEEK_END)).entries()


def is_tar(block: bytes) -> bool:
    """True if these first 512 bytes are the header of a tar's first member."""
    if len(block) != BLOCK or block == _ZEROS:
        return False
    try:
        _checksum(block, 0)
    except ArchiveInvalid:
        return False
    return True


class _Scan:
    """One pass over the headers of a tar of `size` bytes."""

    def __init__(self, read: Read, size: int) -> None:
        self._read = read
        self._size = size
        self._window = b""
        self._start = 0

    def block(self, at: int) -> bytes:
        """The block at an offset; shorter than BLOCK only at the end of the archive."""
        skip = at - self._start
        if skip < 0 or skip + BLOCK > len(self._window):
            self._window = self._read(at, _WINDOW)
            self._start, skip = at, 0
        return self._window[skip : skip + BLOCK]

    def extended(self, at: int, length: int) -> bytes:
        """Data of an extended header."""
        if length > MAX_EXTENDED:
            raise ArchiveInvalid(f"an extended header of {length} bytes; at most {MAX_EXTENDED} are read", offset=at)
        skip = at - self._start
        if skip >= 0 and skip + length <= len(self._window):
            return self._window[skip : skip + length]
        data = self._read(at, length)
        if len(data) < length:
            raise ArchiveInvalid("the archive ends inside an extended header", offset=at)
        return data

    def entries(self) -> Iterator[Entry]:
        at = count = 0
        extra: dict[bytes, bytes] = {}
        holes: list[int] = []  # PAX 0.0 sparse numbers, whose keys repeat
        long_name = long_link = None
        while True:
            block = self.block(at)
            if len(block) < BLOCK or block == _ZEROS:
                if extra or long_name is not None or long_link is not None:
                    raise ArchiveInvalid("the archive ends after an extended header", offset=at)
                self._check_end(block, at)
                return
            flag, size = block[156:157], _number(block[124:136], at, "size")
            _checksum(block, at)
            data = at + BLOCK
            if flag in b"xgLK":
                end = data + size
                body = self.extended(data, size)
                if flag == b"x":
                    for key, value in pax.parse(body, data):
                        extra[key] = value
                        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
                            holes.append(_decimal(value, data, "sparse number"))
                elif flag == b"L":
                    long_name = body.partition(b"\0")[0]
                elif flag == b"K":
                    long_link = body.partition(b"\0")[0]
                else:
                    for _ in pax.parse(body, data):  # global headers must be sound, but nobody obeys them
                        pass
            else:
                entry, end = self._entry(block, at, flag, size, extra, holes, long_name, long_link)
                count += 1
                if count > MAX_ENTRIES:
                    raise ArchiveInvalid(f"more than {MAX_ENTRIES} entries", offset=at)
                yield entry
                if extra:
                    extra = {}
                    holes.clear()
                long_name = long_link = None
            if end > self._size:
                raise ArchiveInvalid(f"the archive ends {end - self._size} bytes too early, inside an entry", offset=at)
            at = end + -end % BLOCK

    def _check_end(self, block: bytes, at: int) -> None:
        """The end is no block at all, or zero blocks; what follows two of them is nobody's."""
        if 0 < len(block) < BLOCK:
            raise ArchiveInvalid(f"the archive ends inside a header, after {len(block)} of {BLOCK} bytes", offset=at)
        if block:
            second = self.block(at + BLOCK)
            if second and second != _ZEROS[: len(second)]:
                raise ArchiveInvalid("one zero block where there should be two", offset=at)

    def _entry(  # noqa: PLR0917 what has been read for this entry
        self,
        block: bytes,
        at: int,
        flag: bytes,
        size: int,
        extra: dict[bytes, bytes],
        holes: list[int],
        long_name: bytes | None,
        long_link: bytes | None,
    ) -> tuple[Entry, int]:
        """The entry of a header block, and where its data end."""
        kind = _TYPES.get(flag)
        if kind is None:
            raise ArchiveInvalid(f"entries of type {flag!r} are unknown", offset=at)
        name, mode, uid, gid, _, mtime, _, _, link, magic, _, major, minor, prefix = _FIELDS(block)
        name = name.partition(b"\0")[0]
        if long_name is not None:
            name = long_name
        elif magic[:6] == b"ustar\0" and prefix[0]:
            name = prefix.partition(b"\0")[0] + b"/" + name
        mtime_ns = _number(mtime, at, "mtime", negative=True) * SECOND
        user, group = _number(uid, at, "uid"), _number(gid, at, "gid")
        xattrs: dict[str, bytes] = {}
        target = (link.partition(b"\0")[0] if long_link is None else long_link) if kind in _LINKS else b""
        if extra:
            name = extra.get(b"path") or name
            if kind in _LINKS:
                target = extra.get(b"linkpath") or target
            if value := extra.get(b"size"):
                size = _decimal(value, at, "size")
            if value := extra.get(b"uid"):
                user = _decimal(value, at, "uid")
            if value := extra.get(b"gid"):
                group = _decimal(value, at, "gid")
            if value := extra.get(b"mtime"):
                mtime_ns = pax.parse_time(value, at)
            xattrs = _xattrs(extra, at)
        if user > _MAX_ID or group > _MAX_ID:
            raise ArchiveInvalid(f"owner {user}:{group} is beyond what Linux can hold", offset=at)
        stored = size if kind is EntryType.FILE else 0  # the size of all else is not followed by data
        data, end = at + BLOCK, at + BLOCK + stored
        pieces: sparse.Map | None = None
        if kind is EntryType.FILE:
            if flag == b"S":
                pieces, size, data = self._old_gnu(block, at, stored)
                end = data + stored
            elif b"GNU.sparse.major" in extra or b"GNU.sparse.size" in extra or b"GNU.sparse.map" in extra:
                pieces, size, skip = self._pax_sparse(extra, holes, data, stored)
                name = extra.get(b"GNU.sparse.name") or name
                data += skip
            elif flag == b"\0" and name.endswith(b"/"):
                kind, size = EntryType.DIR, 0
        else:
            size = 0
        path = normalise(decode(name))
        if kind in _LINKS and (not target or b"\0" in target):
            raise ArchiveInvalid(f"link {path!r} has no target, or one with a NUL byte", offset=at)
        if len(target) > PATH_BYTES:
            raise UnsafePath(path, f"a link to a path of more than {PATH_BYTES} bytes")
        linkname = decode(target)
        if kind is EntryType.HARDLINK:
            linkname = normalise(linkname)
        numbers = (_number(major, at, "major"), _number(minor, at, "minor")) if kind in _DEVICES else (0, 0)
        bits = _number(mode, at, "mode") & 0o7777
        offset = data if kind is EntryType.FILE else None
        return Entry(path, kind, bits, user, group, size, mtime_ns, linkname, *numbers, xattrs, offset, pieces), end

    def _old_gnu(self, block: bytes, at: int, stored: int) -> tuple[sparse.Map, int, int]:
        """Type "S": four pieces in the header, 21 in each block that follows it. Map, size, start of the data."""
        numbers: list[int] = []
        size = _number(block[483:495], at, "size of a sparse file")
        fields, more, data = block[386:482], block[482], at + BLOCK
        while True:
            for start in range(0, len(fields) - 23, 24):
                if not fields[start] or not fields[start + 12]:
                    break
                numbers.append(_number(fields[start : start + 12], at, "sparse offset"))
                numbers.append(_number(fields[start + 12 : start + 24], at, "sparse length"))
            if not more:
                break
            block = self.block(data)
            if len(block) < BLOCK:
                raise ArchiveInvalid("the archive ends inside the map of a sparse file", offset=data)
            fields, more, data = block[:504], block[504], data + BLOCK
        return sparse.checked(sparse.from_numbers(numbers, at), size, stored, at), size, data

    def _pax_sparse(
        self, extra: dict[bytes, bytes], holes: list[int], data: int, stored: int
    ) -> tuple[sparse.Map, int, int]:
        """GNU's PAX forms 0.0, 0.1 and 1.0. Map, size, bytes that the map takes of the data."""
        size = _decimal(extra.get(b"GNU.sparse.realsize") or extra.get(b"GNU.sparse.size", b""), data, "real size")
        skip = 0
        if b"GNU.sparse.major" in extra:
            version = extra[b"GNU.sparse.major"], extra.get(b"GNU.sparse.minor")
            if version != (b"1", b"0"):
                raise ArchiveInvalid(f"a sparse file of unknown version {version!r}", offset=data)
            pieces, skip = sparse.from_data(self.extended, data, stored)
        elif b"GNU.sparse.map" in extra:
            pieces = sparse.from_text(extra[b"GNU.sparse.map"], data)
        else:
            pieces = sparse.from_numbers(holes, data)
        return sparse.checked(pieces, size, stored - skip, data), size, skip


def _number(field: bytes, at: int, what: str, *, negative: bool = False) -> int:
    """An octal field, or base-256 if its first bit is set."""
    first = field[0]
    if first & 0x80:
        value = int.from_bytes(field, "big") - (0x80 << 8 * (len(field) - 1))
        if first & 0x40:
            value -= 1 << (8 * len(field) - 1)
        if value.bit_length() > 62 or (value < 0 and not negative):
            raise ArchiveInvalid(f"{what} is {'negative' if value < 0 else 'too large'}", offset=at)
        return value
    digits = field.partition(b"\0")[0].strip(b" ")
    if not digits:
        return 0
    if digits.isdigit():
        try:
            return int(digits, 8)
        except ValueError:
            pass
    raise ArchiveInvalid(f"{what} {digits!r} is no octal number", offset=at)


def _decimal(value: bytes, at: int, what: str) -> int:
    if not value.isdigit() or len(value) > 18:
        raise ArchiveInvalid(f"{what} {value[:40]!r} in a PAX header is no decimal number", offset=at)
    return int(value)


def _checksum(block: bytes, at: int) -> None:
    """Bytes of the header summed, its own field taken as spaces; some old writers summed signed chars.

    Compared modulo 65521, which Adler-32 gives for nothing: a checksum guards against noise only.
    """
    stored = _number(block[148:156], at, "checksum")
    unsigned = zlib.adler32(b"%b%b%b" % (block[:148], _SPACES, block[156:])) & 0xFFFF
    if unsigned != (1 + stored) % 65521:
        signed = sum(struct.unpack("148b", block[:148])) + sum(struct.unpack("356b", block[156:])) + 8 * 0x20
        if stored != signed:
            raise ArchiveInvalid("the checksum of a header is wrong: the archive is damaged or not a tar", offset=at)


def _xattrs(extra: dict[bytes, bytes], at: int) -> dict[str, bytes]:
    """Extended attributes; where both forms name one, SCHILY's bytes win."""
    found: dict[str, bytes] = {}
    for key, value in extra.items():
        if key.startswith(_LIBARCHIVE):
            try:
                raw = b64decode(value + b"=" * (-len(value) % 4), validate=True)
            except ValueError:
                raise ArchiveInvalid(f"extended attribute {key!r} is not base64", offset=at) from None
            found.setdefault(decode(unquote_to_bytes(key[len(_LIBARCHIVE) :])), raw)
        elif key.startswith(_SCHILY):
            found[decode(key[len(_SCHILY) :])] = value
    return found

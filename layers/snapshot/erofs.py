"""EROFS on the disk, as much of it as indexes of layers need: images of metadata whose files lie on other devices.

Blocks are 512 bytes, as in tar. All devices share one address space, the image itself at its beginning. Images are
written by us from what was checked, so the kernel never reads one that somebody else made. Format: fs/erofs/erofs_fs.h
of the kernel and Documentation/filesystems/erofs.rst.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from layers.disk.paths import encode
from layers.disk.ranges import copy_range, write_all
from layers.oci.digest import DiffID
from layers.snapshot.superblock import BLOCK, CannotIndex
from layers.tar import acl
from layers.tar.entry import EntryType
from layers.tar.toc import CODES

LAST_BLOCK = 2**32 - 1
UNIT = 32
"""Bytes that an inode's number counts."""
INODE = struct.Struct("<HHHHQIIIIqII16x")
"""An extended inode: format, attributes, mode, -, size, first block, number, owner, group, seconds, rest, names."""
PLAIN, INLINE = 1, 1 | 2 << 1  # formats: data in blocks of their own, or behind the inode
NUMBER = struct.Struct("<I")
START_AT, LINKS_AT = 16, 44  # in an inode: first block, names
DIRENT = 12
"""Bytes of a name's entry in a directory, without the name."""
KINDS = {
    CODES[kind]: bits
    for kind, bits in {
        EntryType.FILE: (stat.S_IFREG, 1),
        EntryType.DIR: (stat.S_IFDIR, 2),
        EntryType.CHAR: (stat.S_IFCHR, 3),
        EntryType.WHITEOUT: (stat.S_IFCHR, 3),
        EntryType.BLOCK: (stat.S_IFBLK, 4),
        EntryType.FIFO: (stat.S_IFIFO, 5),
        EntryType.SYMLINK: (stat.S_IFLNK, 7),
    }.items()
}
"""Of each kind of row, its bits in a mode and its number in a directory."""
_MOST_ATTRIBUTES = (2**16 - 2) * 4
_PREFIXES = {"user.": 1, "trusted.": 4, "security.": 6}
_ACLS = {acl.ACCESS: 2, acl.DEFAULT: 3}
_OPAQUE = ("trusted.overlay.opaque", b"y".hex())


class Copy(NamedTuple):
    """`length` bytes at `offset` of a raw tar, which lie at `place` of the image too."""

    tar: DiffID
    offset: int
    length: int
    place: int


class Image(NamedTuple):
    """An image: its two ends, and what lies between them; `at` is where the second one begins."""

    head: bytes
    copies: Sequence[Copy]
    at: int
    metadata: bytes

    def write(self, target: Path, raw: Callable[[DiffID], BinaryIO]) -> None:
        """Write the image; `raw` opens a tar."""
        with target.open("wb", buffering=0) as file:
            write_all(file.fileno(), self.head, 0)
            for diff_id, copies in groupby(self.copies, lambda copy: copy.tar):
                with raw(diff_id) as tar:
                    for copy in copies:
                        copy_range(tar.fileno(), copy.offset, file.fileno(), copy.place, copy.length)
            write_all(file.fileno(), self.metadata, self.at)


@cache
def dirents(count: int) -> struct.Struct:
    """So many entries of a directory: inode, where its name begins, kind."""
    return struct.Struct("<" + "QHBx" * count)


def in_blocks(names: list[bytes]) -> list[list[bytes]]:
    """The names of a directory, in order, by the block that holds them."""
    if DIRENT * len(names) + sum(map(len, names)) <= BLOCK:
        return [names]
    found: list[list[bytes]] = [[]]
    room = BLOCK
    for name in names:
        need = DIRENT + len(name)
        if need > room:
            found.append([])
            room = BLOCK
        found[-1].append(name)
        room -= need
    return found


def attributes(rest: Mapping[str, Any] | None, *, opaque: bool) -> bytes:
    """The attributes of a row as they follow its inode. Raises CannotIndex if they are too large."""
    xattrs = rest.get("xattrs", {}) if rest else {}
    return _packed(((*xattrs.items(), _OPAQUE) if opaque else tuple(xattrs.items())) if xattrs or opaque else ())


@lru_cache(1024)
def _packed(xattrs: tuple[tuple[str, str], ...]) -> bytes:
    """A header of 12 bytes, then each attribute padded to 4; what no kernel could keep is left out."""
    parts = [bytes(12)]
    for key, text in sorted(xattrs):
        value = bytes.fromhex(text)
        if key in _ACLS:
            number, name = _ACLS[key], b""
        else:
            prefix = next((one for one in _PREFIXES if key.startswith(one)), None)
            if prefix is None:
                continue
            number, name = _PREFIXES[prefix], encode(key[len(prefix) :])
        if len(name) > 255 or len(value) > 65535:
            raise CannotIndex(f"the attribute {key!r} is too large")
        body = struct.pack("<BBH", len(name), number, len(value)) + name + value
        parts.append(body.ljust(-(-len(body) // 4) * 4, b"\0"))
    found = b"".join(parts) if len(parts) > 1 else b""
    if len(found) > _MOST_ATTRIBUTES:
        raise CannotIndex("it has more attributes than fit")
    return found


def attribute_units(attributes: bytes) -> int:
    """How an inode counts them: the header as one unit of four bytes together with its first eight bytes."""
    return (len(attributes) - 12) // 4 + 1 if attributes else 0

"""EROFS on the disk, as much of it as indexes of layers need: images of metadata whose files lie on other devices.

Blocks are 512 bytes, as in tar. All devices share one address space, the image itself at its beginning. Images are
written by us from what was checked, so the kernel never reads one that somebody else made. Format: fs/erofs/erofs_fs.h
of the kernel and Documentation/filesystems/erofs.rst.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from layers.disk.paths import encode
from layers.disk.ranges import copy_range, write_all
from layers.errors import DigestInvalid
from layers.oci.digest import DiffID, Digest
from layers.tar import acl
from layers.tar.entry import EntryType
from layers.tar.toc import CODES

BLOCK = 512
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
_BITS = 9
_MAGIC = 0xE0F5E1E2
_SUPERBLOCK = struct.Struct("<IIIBBHQQIIII16s16sIHHHBBIQB23x")
_AT = 1024  # of the superblock
_SLOT = struct.Struct("<64sII56x")
_SLOTS_AT = _AT + _SUPERBLOCK.size
_DEVICES = struct.Struct("<HH")
_DEVICES_AT = _AT + 0x56  # in the superblock: how many devices, and where their slots begin
_DEVICE_TABLE = 0x8
_MOST_ATTRIBUTES = (2**16 - 2) * 4
_PREFIXES = {"user.": 1, "trusted.": 4, "security.": 6}
_ACLS = {acl.ACCESS: 2, acl.DEFAULT: 3}
_OPAQUE = ("trusted.overlay.opaque", b"y".hex())


class CannotIndex(Exception):
    """Something has no place in an image; the layers must be unpacked."""


class Device(NamedTuple):
    """A raw tar that is a device: its name, its whole blocks, and the block of the address space where it begins."""

    diff_id: DiffID
    blocks: int
    start: int


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


def head_size(devices: int) -> int:
    """Bytes of a head with so many devices."""
    return _SLOTS_AT + devices * _SLOT.size


def head(devices: Sequence[Device], *, root: int, inodes: int, blocks: int, metadata: int) -> bytes:
    """The beginning of an image of so many blocks: `metadata` is the block from which its inodes are numbered."""
    data = bytearray(head_size(len(devices)))
    _SUPERBLOCK.pack_into(
        data, _AT, _MAGIC, 0, 0, _BITS, 0, root, inodes, 0, 0, blocks, metadata, 0, bytes(16), bytes(16), _DEVICE_TABLE,
        0, len(devices), _SLOTS_AT // _SLOT.size, 0, 0, 0, 0, 0,
    )  # fmt: skip
    for number, device in enumerate(devices):
        tag = device.diff_id.hex.encode()
        _SLOT.pack_into(data, _SLOTS_AT + number * _SLOT.size, tag, device.blocks, device.start)
    return bytes(data)


def devices(image: Path) -> list[DiffID]:
    """The tars that an image needs as further devices, in its order. Raises OSError, CannotIndex if it is damaged."""
    try:
        with image.open("rb") as file:
            head = file.read(_SLOTS_AT)
            count, first = _DEVICES.unpack_from(head, _DEVICES_AT)
            slots = os.pread(file.fileno(), count * _SLOT.size, first * _SLOT.size)
        return [Digest.parse(f"sha256:{tag.decode('ascii')}") for tag, _, _ in _SLOT.iter_unpack(slots)]
    except (struct.error, ValueError, DigestInvalid) as error:
        raise CannotIndex("its index is damaged") from error


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

"""A layer as a file system without unpacking it: an EROFS image of its metadata whose files are pieces of the raw tar.

Data in a tar begin at multiples of 512 bytes, so an image with blocks of 512 bytes can name them: the tar is a second
device, whose blocks follow those of the image in one address space. The image holds inodes, directories, links and
attributes, and is written by us from a table of contents that was checked, so the kernel never reads an EROFS image
that somebody else made. Format: fs/erofs/erofs_fs.h of the kernel and Documentation/filesystems/erofs.rst.
"""

from __future__ import annotations

import stat
import struct
from dataclasses import dataclass, field
from itertools import pairwise

from layers.entry import Entry, EntryType
from layers.paths import encode
from layers.toc import Toc
from layers.tree import Tree

BLOCK = 512
_BITS = 9
_MAGIC = 0xE0F5E1E2
_SUPERBLOCK = struct.Struct("<IIIBBHQQIIII16s16sIHHHBBIQB23x")
_AT = 1024  # of the superblock
_SLOT = struct.Struct("<64sII56x")
_SLOTS_AT = _AT + _SUPERBLOCK.size
_DEVICE_TABLE = 0x8
_INODE = struct.Struct("<HHHHQIIIIqII16x")
_DIRENT = struct.Struct("<QHBx")
_UNIT = 32
"""Bytes that an inode's number counts."""
_PLAIN, _INLINE = 1, 1 | 2 << 1  # i_format: extended inode, and where its data are
_MOST_BLOCKS = 2**32
_MOST_ATTRIBUTES = (2**16 - 2) * 4
_PREFIXES = {"user.": 1, "trusted.": 4, "security.": 6}
_ACLS = {"system.posix_acl_access": 2, "system.posix_acl_default": 3}
_OPAQUE = {"trusted.overlay.opaque": b"y"}
_KINDS = {
    EntryType.FILE: (stat.S_IFREG, 1),
    EntryType.DIR: (stat.S_IFDIR, 2),
    EntryType.CHAR: (stat.S_IFCHR, 3),
    EntryType.WHITEOUT: (stat.S_IFCHR, 3),
    EntryType.BLOCK: (stat.S_IFBLK, 4),
    EntryType.FIFO: (stat.S_IFIFO, 5),
    EntryType.SYMLINK: (stat.S_IFLNK, 7),
}


class CannotIndex(Exception):
    """Something in this layer has no place in an index; it must be unpacked."""


@dataclass(slots=True)
class _Node:
    """An inode to be: `at` is where it lies in the image, `room` what it takes there, `block` where its data begin."""

    entry: Entry
    links: int = 1
    names: dict[bytes, _Node] = field(default_factory=dict)
    parent: _Node | None = None
    opaque: bool = False
    attributes: bytes = b""
    at: int = 0
    inline: bool = False
    block: int = 0
    length: int = 0

    @property
    def number(self) -> int:
        return self.at // _UNIT


def index(toc: Toc, tar_size: int, below: Tree, *, lowest: bool) -> bytes:
    """The image of one layer, whose second device is its raw tar of `tar_size` bytes.

    Deletions are in overlayfs's form unless it is the `lowest`, where they have nothing to delete; `below` is what lies
    below. Raises CannotIndex for what an image cannot say: sparse files, links into lower layers, foreign attributes.
    """
    if tar_size % BLOCK:
        raise CannotIndex("the tar does not end at a block")
    root = _grow(toc, below, lowest=lowest)
    nodes = _all(root)
    end = _SLOTS_AT + _SLOT.size
    for node in nodes:
        end = _lay(node, end)
    blocks = -(-end // BLOCK)
    for node in nodes:
        if node.length and not node.inline:
            node.block = blocks
            blocks += -(-node.length // BLOCK)
    if blocks + tar_size // BLOCK >= _MOST_BLOCKS:
        raise CannotIndex("it is larger than 2 TiB")
    image = bytearray(blocks * BLOCK)
    _SLOT.pack_into(image, _SLOTS_AT, b"", tar_size // BLOCK, blocks)
    _SUPERBLOCK.pack_into(
        image, _AT, _MAGIC, 0, 0, _BITS, 0, root.number, len(nodes), 0, 0, blocks, 0, 0, bytes(16), bytes(16),
        _DEVICE_TABLE, 0, 1, _SLOTS_AT // _SLOT.size, 0, 0, 0, 0, 0,
    )  # fmt: skip
    for node in nodes:
        _write(image, node, blocks)
    return bytes(image)


def _grow(toc: Toc, below: Tree, *, lowest: bool) -> _Node:
    """The tree of inodes of a layer."""
    root = _Node(below.get("") or Entry("", EntryType.DIR, 0o755), links=2)
    places: dict[str, _Node] = {"": root}

    def directory(path: str) -> _Node:
        found = places.get(path)
        if found is None:
            looks = below.get(path)  # a directory that the layer does not list looks as it does below
            if looks is None or looks.type is not EntryType.DIR:
                looks = Entry(path, EntryType.DIR, 0o755)
            found = add(path, _Node(looks, links=2))
        return found

    def add(path: str, node: _Node) -> _Node:
        head, _, name = path.rpartition("/")
        node.parent = directory(head)
        node.parent.names[encode(name)] = node
        if node.entry.type is EntryType.DIR:
            node.parent.links += 1
            places[path] = node
        return node

    files: dict[str, _Node] = {}
    links: list[Entry] = []
    for entry in toc:
        match entry.type:
            case EntryType.OPAQUE:
                directory(entry.path).opaque = not lowest
            case EntryType.WHITEOUT:
                if not lowest and below.holds(entry.path):
                    add(entry.path, _Node(Entry(entry.path, EntryType.WHITEOUT)))
            case EntryType.HARDLINK:
                links.append(entry)
            case EntryType.DIR if entry.path in places:
                places[entry.path].entry = entry
            case EntryType.DIR:
                add(entry.path, _Node(entry, links=2))
            case _:
                if entry.sparse is not None:
                    raise CannotIndex(f"{entry.path!r} is sparse")
                files[entry.path] = add(entry.path, _Node(entry))
    for entry in links:
        target = files.get(entry.linkname)
        if target is None:
            raise CannotIndex(f"{entry.path!r} is a link into a lower layer")
        target.links += 1
        head, _, name = entry.path.rpartition("/")
        directory(head).names[encode(name)] = target
        files[entry.path] = target
    return root


def _all(root: _Node) -> list[_Node]:
    """Every inode once, the root first: its number has only 16 bits."""
    found = [root]
    seen = {id(root)}
    for node in found:
        for child in node.names.values():
            if id(child) not in seen:
                seen.add(id(child))
                found.append(child)
    return found


def _lay(node: _Node, end: int) -> int:
    """Find the inode its place after `end`; where the next one may begin. Data go along if they fit into its block."""
    entry = node.entry
    node.attributes = _attributes({**entry.xattrs, **(_OPAQUE if node.opaque else {})})
    if entry.type is EntryType.DIR:
        node.length = _directory_size(sorted((b".", b"..", *node.names)))
    elif entry.type is EntryType.SYMLINK:
        node.length = len(encode(entry.linkname))
    node.at = -(-end // _UNIT) * _UNIT
    head = _INODE.size + len(node.attributes)
    if 0 < node.length <= BLOCK - _UNIT:
        tail = node.at + head
        if tail // BLOCK != (tail + node.length - 1) // BLOCK:  # may not cross a block: begin so that it ends one
            node.at += -(-((tail // BLOCK + 1) * BLOCK - tail) // _UNIT) * _UNIT
        tail = node.at + head
        node.inline = tail // BLOCK == (tail + node.length - 1) // BLOCK
    return node.at + head + (node.length if node.inline else 0)


def _write(image: bytearray, node: _Node, tar: int) -> None:
    """Put an inode and its data into the image; the tar's blocks begin at `tar`."""
    entry = node.entry
    kind, _ = _KINDS[entry.type]
    size, place = node.length, node.block
    if entry.type is EntryType.FILE:
        size = entry.size
        place = tar + (entry.offset or 0) // BLOCK if size else 0
    elif entry.type in (EntryType.CHAR, EntryType.BLOCK):
        place = entry.minor & 0xFF | entry.major << 8 | (entry.minor & ~0xFF) << 12
    seconds, nanoseconds = divmod(entry.mtime_ns, 10**9)
    mode = kind | (0o777 if entry.type is EntryType.SYMLINK else entry.mode & 0o7777)
    # The header of the attributes counts as one unit of four bytes together with its first eight bytes.
    count = (len(node.attributes) - 12) // 4 + 1 if node.attributes else 0
    _INODE.pack_into(
        image, node.at, _INLINE if node.inline else _PLAIN, count, mode, 0, size, place, node.number, entry.uid,
        entry.gid, seconds, nanoseconds, node.links,
    )  # fmt: skip
    start = node.at + _INODE.size
    image[start : start + len(node.attributes)] = node.attributes
    if node.length:
        start = start + len(node.attributes) if node.inline else node.block * BLOCK
        data = _directory(node) if entry.type is EntryType.DIR else encode(entry.linkname)
        image[start : start + len(data)] = data


def _blocks(names: list[bytes]) -> list[list[bytes]]:
    """The names of a directory, in order, by the block that holds them."""
    found: list[list[bytes]] = [[]]
    room = BLOCK
    for name in names:
        need = _DIRENT.size + len(name)
        if need > room:
            found.append([])
            room = BLOCK
        found[-1].append(name)
        room -= need
    return found


def _directory_size(names: list[bytes]) -> int:
    blocks = _blocks(names)
    return (len(blocks) - 1) * BLOCK + sum(_DIRENT.size + len(name) for name in blocks[-1])


def _directory(node: _Node) -> bytes:
    """The content of a directory: in each block the entries, then their names, all in the order of bytes."""
    children = {**node.names, b".": node, b"..": node.parent or node}
    pieces: list[bytes] = []
    for names in _blocks(sorted(children)):
        offsets = [len(names) * _DIRENT.size]
        for name in names:
            offsets.append(offsets[-1] + len(name))
        entries = (
            _DIRENT.pack(children[name].number, at, _KINDS[children[name].entry.type][1])
            for name, (at, _) in zip(names, pairwise(offsets), strict=True)
        )
        pieces.append(b"".join((*entries, *names)))
    return b"".join(piece.ljust(BLOCK, b"\0") for piece in pieces[:-1]) + pieces[-1]


def _attributes(xattrs: dict[str, bytes]) -> bytes:
    """The attributes of an inode as they follow it: a header of 12 bytes, then each padded to 4."""
    if not xattrs:
        return b""
    parts = [bytes(12)]
    for key, value in sorted(xattrs.items()):
        if key in _ACLS:
            number, name = _ACLS[key], b""
        else:
            prefix = next((one for one in _PREFIXES if key.startswith(one)), None)
            if prefix is None:
                raise CannotIndex(f"the attribute {key!r} is of no kind that it knows")
            number, name = _PREFIXES[prefix], encode(key[len(prefix) :])
        if len(name) > 255 or len(value) > 65535:
            raise CannotIndex(f"the attribute {key!r} is too large")
        body = struct.pack("<BBH", len(name), number, len(value)) + name + value
        parts.append(body.ljust(-(-len(body) // 4) * 4, b"\0"))
    found = b"".join(parts)
    if len(found) > _MOST_ATTRIBUTES:
        raise CannotIndex("it has more attributes than fit")
    return found

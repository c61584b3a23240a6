"""Layers as a file system without unpacking them: an image of their inodes whose files are pieces of raw tars.

Data in a tar begin at multiples of 512 bytes, so an image with blocks of 512 bytes can name them, with the tar as a
further device. What cannot be named so is copied into the image: sparse files, what lies beyond the last whole block of
a tar, and tars so small that a device costs more than the copy.

    superblock, devices | copies | inodes, directories, links |        | tar ... tar (the end of the address space)
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

from layers.disk.paths import encode
from layers.oci.digest import DiffID
from layers.snapshot import erofs
from layers.snapshot.erofs import INODE, UNIT, Copy, Image
from layers.snapshot.inodes import Directory, Inodes, Node
from layers.snapshot.superblock import BLOCK, CannotIndex, Device, head, head_size
from layers.tar.entry import EntryType
from layers.tar.toc import CODES, entry_of
from layers.views.tree import pieces

EMBEDDED = 64 << 10
"""Bytes of the largest tar that is copied into the image: a device less, for some 20 us of copying."""
TOO_LARGE = "it is larger than 2 TiB"
_FILE, _SYMLINK = CODES[EntryType.FILE], CODES[EntryType.SYMLINK]
_DEVICE_KINDS = (CODES[EntryType.CHAR], CODES[EntryType.BLOCK])


class Tar(NamedTuple):
    """A raw tar that holds data of files: its name and its bytes."""

    diff_id: DiffID
    size: int


def index(inodes: Inodes, bottom: int, tars: Sequence[Tar]) -> Image:
    """The image of a tree whose own layers are those from `bottom` on; `tars` are those of the whole chain.

    Raises CannotIndex for what an image cannot say: more than 2 TiB, or attributes that are too large.
    """
    return _Writer(inodes, bottom, tars).image()


class _Writer:
    """An image in the making: `meta` are its inodes and all that goes with them."""

    def __init__(self, inodes: Inodes, bottom: int, tars: Sequence[Tar]) -> None:
        self._root = inodes.root
        self._tars = tars
        self._meta = bytearray(UNIT)  # no inode has the number 0, which readdir(3) takes for nothing
        self._count = 0
        self._texts: list[tuple[int, int]] = []  # of symlinks, too long to lie by the inode: where each begins
        self._copies: list[Copy] = []
        self._devices: list[Device] = []
        self._starts: dict[int, int] = {}  # of each layer's tar: the block where it begins,
        self._whole: dict[int, int] = {}  # and how many bytes of it can be named
        sources = sorted({*range(bottom, len(tars)), *inodes.lower_sources})
        apart = [at for at in sources if tars[at].size > EMBEDDED]
        self._limit = erofs.LAST_BLOCK
        for at in apart:
            blocks = tars[at].size // BLOCK
            self._limit -= blocks
            self._starts[at], self._whole[at] = self._limit, blocks * BLOCK
            self._devices.append(Device(tars[at].diff_id, blocks, self._limit))
        self._end = -(-head_size(len(apart)) // BLOCK)  # the first block that no copy takes
        for at in sources:
            if at not in self._starts:
                self._starts[at], self._whole[at] = self._end, tars[at].size
                self._copies.append(Copy(tars[at].diff_id, 0, tars[at].size, self._end * BLOCK))
                self._grow(tars[at].size)
        self._grow(0)

    def image(self) -> Image:
        """Give everything its place, then write what needs the places of others."""
        again: list[Node] = []
        directories = [self._place(self._root)]
        for laid in directories:
            names = laid.directory.names
            for name in chain.from_iterable(laid.blocks):
                node = names.get(name)
                if node is None:  # "." and ".."
                    continue
                if node.number:
                    node.links += 1
                    again.append(node)
                elif isinstance(node, Directory):
                    laid.directory.links += 1
                    directories.append(self._place(node))
                elif node.row[9] is None and node.row[1] == _FILE:
                    self._file(node)
                else:
                    self._other(node)
        first = self._end
        for laid in directories:
            self._fill(laid, first)
        for inode, at in self._texts:
            erofs.NUMBER.pack_into(self._meta, inode + erofs.START_AT, first + at // BLOCK)
        for node in again:
            erofs.NUMBER.pack_into(self._meta, node.number * UNIT + erofs.LINKS_AT, node.links)
        self._meta += bytes(-len(self._meta) % BLOCK)
        blocks = first + len(self._meta) // BLOCK
        if blocks > self._limit:
            raise CannotIndex(TOO_LARGE)
        front = head(self._devices, root=self._root.number, inodes=self._count, blocks=blocks, metadata=first)
        return Image(front, self._copies, first * BLOCK, bytes(self._meta))

    def _place(self, directory: Directory) -> _Laid:
        """Give a directory its place; what it holds is written when all have one."""
        blocks = erofs.in_blocks(sorted((b".", b"..", *directory.names)))
        length = (len(blocks) - 1) * BLOCK + erofs.DIRENT * len(blocks[-1]) + sum(map(len, blocks[-1]))
        attributes = erofs.attributes(directory.row[9], opaque=directory.opaque)
        at, data, inline = self._reserve(INODE.size + len(attributes), length)
        directory.number = at // UNIT
        directory.links = 2
        return _Laid(directory, blocks, at, data, length, inline, attributes)

    def _fill(self, laid: _Laid, first: int) -> None:
        """Write a directory: in each block the entries, then their names, all in the order of bytes."""
        directory, meta = laid.directory, self._meta
        names, place = directory.names, laid.data
        for block in laid.blocks:
            entries: list[int] = []
            offset = len(block) * erofs.DIRENT
            for name in block:
                node = names.get(name) or (directory if name == b"." else directory.parent)
                entries += (node.number, offset, erofs.KINDS[node.row[1]][1])
                offset += len(name)
            meta[place : place + offset] = erofs.dirents(len(block)).pack(*entries) + b"".join(block)
            place += BLOCK
        start = 0 if laid.inline else first + laid.data // BLOCK
        self._inode(directory, laid.at, laid.length, start, laid.attributes, inline=laid.inline)

    def _file(self, node: Node) -> None:
        """Write the inode of a file that has nothing special: most of what there is."""
        _, _, mode, uid, gid, size, mtime, _, _, _ = node.row
        meta, start = self._meta, self._start(node)
        if len(meta) % UNIT:
            meta += bytes(-len(meta) % UNIT)
        node.number = number = len(meta) // UNIT
        seconds, rest = divmod(mtime, 10**9)
        meta += INODE.pack(erofs.PLAIN, 0, stat.S_IFREG | mode, 0, size, start, number, uid, gid, seconds, rest, 1)
        self._count += 1

    def _other(self, node: Node) -> None:
        """Write the inode of what is no directory, and the text of a symlink with it."""
        row = node.row
        size = start = 0
        text = b""
        if row[1] == _FILE:
            size, start = row[5], self._start(node)
        elif row[1] == _SYMLINK:
            text = encode(row[8])
            size = len(text)
        elif row[1] in _DEVICE_KINDS:
            major, minor = (row[9] or {}).get("dev", (0, 0))
            start = minor & 0xFF | major << 8 | (minor & ~0xFF) << 12
        attributes = erofs.attributes(row[9], opaque=False)
        at, data, inline = self._reserve(INODE.size + len(attributes), len(text))
        self._meta[data : data + len(text)] = text
        if text and not inline:
            self._texts.append((at, data))
        node.number = at // UNIT
        self._inode(node, at, size, start, attributes, inline=inline)

    def _start(self, node: Node) -> int:
        """The block where the data of a file begin: in its tar, or else in the image, copied with holes as holes."""
        size: int = node.row[5]
        offset: int = node.row[7]
        rest = node.row[9]
        if not size:
            return 0
        if offset + size <= self._whole[node.source] and not (rest and "sparse" in rest):
            return self._starts[node.source] + offset // BLOCK
        start = self._end
        for position, length, offset in pieces(entry_of(node.row)):
            self._copies.append(Copy(self._tars[node.source].diff_id, offset, length, start * BLOCK + position))
        self._grow(size)
        return start

    def _grow(self, size: int) -> None:
        """Take room for a copy of so many bytes. Raises CannotIndex where the tars begin."""
        self._end += -(-size // BLOCK)
        if self._end > self._limit:
            raise CannotIndex(TOO_LARGE)

    def _inode(self, node: Node, at: int, size: int, start: int, attributes: bytes, *, inline: bool) -> None:
        _, kind, mode, uid, gid, _, mtime, _, _, _ = node.row
        mode = 0o777 if kind == _SYMLINK else mode
        seconds, nanoseconds = divmod(mtime, 10**9)
        INODE.pack_into(
            self._meta, at, erofs.INLINE if inline else erofs.PLAIN, erofs.attribute_units(attributes),
            erofs.KINDS[kind][0] | mode, 0, size, start, node.number, uid, gid, seconds, nanoseconds, node.links,
        )  # fmt: skip
        at += INODE.size
        self._meta[at : at + len(attributes)] = attributes
        self._count += 1

    def _reserve(self, head: int, length: int) -> tuple[int, int, bool]:
        """Room for an inode with a head of that many bytes and its data: where each begins, and whether they touch.

        Data go along with the inode if they fit into its block; else they begin a block.
        """
        at = -(-len(self._meta) // UNIT) * UNIT
        inline = False
        if 0 < length <= BLOCK - UNIT:
            tail = at + head
            if tail // BLOCK != (tail + length - 1) // BLOCK:  # begin so that the data begin a block
                at += -(-(-tail % BLOCK) // UNIT) * UNIT
                tail = at + head
            inline = tail // BLOCK == (tail + length - 1) // BLOCK
        data = at + head if inline or not length else -(-(at + head) // BLOCK) * BLOCK
        # The kernel finds the end of a directory's last name by a zero, unless it ends the block.
        end = data + length if inline else data + length + (length % BLOCK > 0)
        self._meta += bytes(end - len(self._meta))
        return at, data, inline


class _Laid(NamedTuple):
    """A directory that has its place: `at` the inode begins, at `data` what it holds, in blocks of names."""

    directory: Directory
    blocks: list[list[bytes]]
    at: int
    data: int
    length: int
    inline: bool
    attributes: bytes

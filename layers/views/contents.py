"""The bytes of many files of a tree: each raw tar is opened once, however many files are read from it."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from layers.tar.entry import Entry

if TYPE_CHECKING:
    from layers.views.tree import Tree

_PIECE = 1 << 20


class Contents:
    """Reads the files of a tree; a context manager. Entries are the tree's own, found by `Tree.locate`."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._open: dict[int, int] = {}
        self._close = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close.close()

    def at(self, layer: int, entry: Entry) -> int | None:
        """A descriptor that stands where the bytes of a file begin, good until the next call; None if it has holes."""
        if entry.sparse is not None or entry.offset is None:
            return None
        descriptor = self._open.get(layer)
        if descriptor is None:
            descriptor = self._open[layer] = self._close.enter_context(self._tree.raw(layer)).fileno()
        os.lseek(descriptor, entry.offset, os.SEEK_SET)
        return descriptor

    def equal(self, layer: int, entry: Entry, other: int) -> bool:
        """True if a file has the bytes that descriptor `other` gives, as far as its size goes."""
        mine = self.at(layer, entry)
        if mine is None:
            with self._tree.open(entry.path) as content:
                while piece := content.read(min(entry.size, _PIECE)):
                    if piece != whole(other, len(piece)):
                        return False
            return True
        left = entry.size
        while left:
            count = min(left, _PIECE)
            if whole(mine, count) != whole(other, count):
                return False
            left -= count
        return True


def whole(descriptor: int, count: int) -> bytes:
    """`count` bytes, fewer only at the end."""
    data = os.read(descriptor, count)
    while len(data) < count and (more := os.read(descriptor, count - len(data))):
        data += more
    return data

"""A tree with an upper directory on it, as one view: what a container sees, with nothing copied or mounted."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO

from layers.disk.paths import Root
from layers.tar.entry import EntryType
from layers.tar.tarball import ordered
from layers.tar.toc import Toc
from layers.views.tree import Tree
from layers.views.upper import changes, root_change


class Lifted(Tree):
    """A Tree whose uppermost layer is a directory in overlayfs's form, as it was when this was made.

    `changes` are what that directory changes; for `upper` and `hidden` see `layers.views.upper.changes`.
    """

    def __init__(self, below: Tree, upper: Path, hidden: Collection[str] = ()) -> None:
        self.changes = tuple(changes(upper, below, hidden))
        entries = [change.entry for change in self.changes]
        root = root_change(upper, below)
        top = Toc.of(ordered(entries if root is None else [root, *entries]))
        self._upper = upper
        super().__init__([*below.layers, (top, _no_tar)])

    def open(self, path: str) -> BinaryIO:
        """The content of the file that a path leads to. Raises OSError."""
        found = self.inode(where) if (where := self.resolve(path)) else None
        entry = self.get(where)
        if found is None or found[0] is not self.layers[-1][0] or entry is None or entry.type is not EntryType.FILE:
            return super().open(path)
        with Root(self._upper) as root:
            return open(root.open(found[1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, follow=False), "rb")


def _no_tar() -> BinaryIO:
    raise AssertionError("the files of an upper directory lie in no tar")

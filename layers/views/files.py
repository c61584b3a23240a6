"""What every view of a file system can be asked, whether it lies in tars or in a directory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO, Protocol

from layers.tar.entry import Entry


class Files(Protocol):
    """A file system to look at: `layers.views.tree.Tree`, `layers.views.folder.Folder`. Paths as in Entry."""

    def get(self, path: str) -> Entry | None:
        """The entry at a path, no link followed; never a HARDLINK: names of one file all show the file."""
        ...

    def children(self, path: str) -> Sequence[str]:
        """Names in a directory, by their bytes; none if it is no directory."""
        ...

    def inode(self, path: str) -> object | None:
        """Equal for names of one file."""
        ...

    def open(self, path: str) -> BinaryIO:
        """What a file holds. Raises OSError."""
        ...

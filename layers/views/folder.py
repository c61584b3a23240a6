"""A directory as a view of files, to be compared with images.

It is read as it is when asked, below its root alone: no link leads out of it. What vanishes meanwhile is not there.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO, Self

from layers.disk.paths import Root, encode
from layers.tar import xattrs
from layers.tar.entry import KINDS, Entry, EntryType
from layers.views.upper import entry_of

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY


class Folder:
    """A `layers.views.files.Files` over a directory; a context manager."""

    def __init__(self, path: Path) -> None:
        self._root = Root(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._root.close()

    def get(self, path: str) -> Entry | None:
        """The entry at a path; None for sockets too, which no image can hold."""
        head, _, name = path.rpartition("/")
        try:
            place = self._root.open(head, os.O_PATH | os.O_DIRECTORY, follow=False)
        except OSError:
            return None
        try:
            status = os.stat(name or ".", dir_fd=place, follow_symlinks=False)
            kind = KINDS.get(stat.S_IFMT(status.st_mode))
            if kind is None:
                return None
            linkname = os.readlink(name, dir_fd=place) if kind is EntryType.SYMLINK else ""
            marks = xattrs.read(f"/proc/self/fd/{place}/{name or '.'}")
            return entry_of(path, kind, status, linkname, xattrs.incoming(marks))
        except (FileNotFoundError, NotADirectoryError):
            return None
        finally:
            os.close(place)

    def children(self, path: str) -> list[str]:
        """Names in a directory."""
        try:
            place = self._root.open(path, os.O_RDONLY | os.O_DIRECTORY, follow=False)
        except OSError:
            return []
        try:
            return sorted(os.listdir(place), key=encode)
        finally:
            os.close(place)

    def inode(self, path: str) -> object | None:
        """Device and number of what is at a path."""
        try:
            status = self._root.lstat(path, follow=False)
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def open(self, path: str) -> BinaryIO:
        """What a file holds. Raises OSError, also for what is no regular file."""
        place = self._root.open(path, _READ, follow=False)
        if not stat.S_ISREG(os.fstat(place).st_mode):
            os.close(place)
            raise IsADirectoryError(21, "not a regular file", path)
        return open(place, "rb")

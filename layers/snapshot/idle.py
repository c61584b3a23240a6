"""A kept workspace that nobody has mounted takes no more room than what was changed in it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from layers.home.leases import discard
from layers.snapshot.overlay import OVERLAY


def shrink(folder: Path, lowers: Iterable[Path]) -> None:
    """Remove what the next mount makes again: mount point, work directory, directories that say what lies below says.

    Of `folder/upper` only itself and the empty directories in it are looked at: a mount point that was lent to a
    command and taken back leaves such a copy of its directory. Nothing here is worth failing for.
    """
    with suppress(OSError):
        discard(folder / "work")
        (folder / "merged").rmdir()
        upper = os.open(folder / "upper", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            below = [os.open(lower, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for lower in lowers]
            try:
                before = os.fstat(upper)
                for name in os.listdir(upper):
                    if _says_nothing(upper, name, below):
                        os.rmdir(name, dir_fd=upper)  # only if it is empty
                os.utime(upper, ns=(before.st_atime_ns, before.st_mtime_ns))
                if below and words(upper) == words(below[0]):
                    os.rmdir(folder / "upper")
            finally:
                for descriptor in below:
                    os.close(descriptor)
        finally:
            os.close(upper)


def _says_nothing(upper: int, name: str, below: list[int]) -> bool:
    """True of a directory without a mark that is as the uppermost one below."""
    if not stat.S_ISDIR(os.stat(name, dir_fd=upper, follow_symlinks=False).st_mode):
        return False
    ours = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=upper)
    try:
        if os.listdir(ours) or any(mark.endswith((".opaque", ".redirect")) for mark in os.listxattr(ours)):
            return False
        for lower in below:
            with suppress(FileNotFoundError):
                theirs = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=lower)
                try:
                    return words(ours) == words(theirs)
                finally:
                    os.close(theirs)
        return False
    finally:
        os.close(ours)


def words(directory: int) -> object:
    """What a directory says of itself: type, mode, owner, time, attributes that are not overlayfs's."""
    status = os.fstat(directory)
    place = f"/proc/self/fd/{directory}"
    attributes = (
        {name: os.getxattr(place, name) for name in os.listxattr(place) if not name.startswith(OVERLAY)}
        if stat.S_ISDIR(status.st_mode)
        else {}
    )
    return status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, attributes

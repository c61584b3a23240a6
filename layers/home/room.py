"""Room on the disk of a store: how much is left, what is said when that is not enough, and a reserve.

A full disk has no room for the log of the database either, without which prune could not free any. So a store keeps
a few files in reserve: prune gives them up where the disk is full, and saves them up again when it has made room.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from layers.errors import StoreFull

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
SCARCE = 1 << 20
"""Bytes below which a disk counts as full: a write that failed for lack of room has used up the rest."""
RESERVE = 8
"""Files in reserve, for the database's log and shared memory, and a few directories."""
SHARE = 32 << 10
"""Bytes of each."""
FEW = 16
"""Inodes."""


def free(root: Path) -> int:
    """Bytes that this process may write there, at most: file systems keep some back without saying how many."""
    from layers.disk.owners import nested

    found = os.statvfs(root)
    return found.f_frsize * (found.f_bavail if os.geteuid() or nested() else found.f_bfree)


def lacks_names(root: Path) -> bool:
    """True if inodes are used up; some file systems do not count them."""
    found = os.statvfs(root)
    return bool(found.f_files) and found.f_ffree < FEW


def is_full(root: Path) -> bool:
    """True if hardly anything can be written: found out by trying, for what file systems say is not exact."""
    if lacks_names(root):
        return True
    try:
        probe = os.open(root, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(probe, 0, SCARCE)
        finally:
            os.close(probe)
    except OSError as error:
        return error.errno in NO_ROOM or free(root) < SCARCE
    return False


def full(root: Path, *, needed: int | None = None, freed: int = 0) -> StoreFull:
    """The error for a disk that is full: `needed` bytes were wanted, `freed` are given back when this is over."""
    found = os.statvfs(root)
    there = found.f_frsize * found.f_bavail + freed
    return StoreFull(str(root), disk=str(mounted(root)), needed=needed, free=there, names=lacks_names(root))


def demand(root: Path, size: int) -> None:
    """Raise StoreFull if `size` bytes cannot be written: better now than after half of them."""
    if size > SCARCE and size > free(root):
        raise full(root, needed=size)


def mounted(path: Path) -> Path:
    """Where the file system of a path is mounted."""
    while not os.path.ismount(path):
        path = path.parent
    return path


def save_up(root: Path) -> None:
    """Have the reserve complete, if there is room for that and as much again."""
    for number in range(RESERVE):
        if not os.path.exists(f"{root}/reserve/{number}") and not is_full(root):
            path = root / "reserve" / str(number)
            try:
                path.parent.mkdir(exist_ok=True)
                with path.open("xb") as file:
                    os.posix_fallocate(file.fileno(), 0, SHARE)
            except FileExistsError:
                pass  # another process is just making it
            except OSError:
                path.unlink(missing_ok=True)  # tried again at the next start


def spend(root: Path) -> None:
    """Give up the reserve if the disk is full; for whoever then makes room."""
    if root.exists() and is_full(root):
        for number in range(RESERVE):
            (root / "reserve" / str(number)).unlink(missing_ok=True)


@contextmanager
def full_disk_explained(root: Path) -> Iterator[None]:
    """Turn ENOSPC and EDQUOT into StoreFull; what was being written is dropped by its owner."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise full(root) from error
        raise

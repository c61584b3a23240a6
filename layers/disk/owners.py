"""Owners of files where not every number can be one: in a user namespace (user_namespaces(7))."""

from __future__ import annotations

import errno
import os
from functools import cache
from pathlib import Path

from layers.errors import OwnerUnmapped

WHOLE = ["0", "0", "4294967295"]


@cache
def numbers() -> int | None:
    """How many users there are; None if this process is in no user namespace. Asked after it has entered its own."""
    words = Path("/proc/self/uid_map").read_text(encoding="utf-8").split()
    return None if words == WHOLE else sum(map(int, words[2::3]))


def nested() -> bool:
    """Whether this process is in a user namespace: it may make no devices, nor set attributes trusted.*."""
    return numbers() is not None


def give(place: int | bytes, uid: int, gid: int, *, at: int | None = None) -> None:
    """Change the owner of what is open, or of a name in the directory `at`.

    Where there is one user only everything is theirs. Raises OwnerUnmapped for somebody who has no number here.
    """
    try:
        if at is None:
            os.chown(place, uid, gid)
        else:
            os.chown(place, uid, gid, dir_fd=at, follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.EINVAL or not nested():
            raise
        if numbers() != 1:
            raise OwnerUnmapped(uid, gid, numbers() or 0) from error

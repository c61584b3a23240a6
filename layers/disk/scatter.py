"""Where a file system puts new directories: a wish, which ext4 alone knows (ioctl_iflags(2), FS_TOPDIR_FL)."""

from __future__ import annotations

import fcntl
import os
import struct
from contextlib import suppress
from pathlib import Path

_GET, _SET, _TOP = 0x80086601, 0x40086602, 0x20000


def scatter(directory: Path) -> None:
    """Let what is made in each directory of this one lie apart from the others; where that is unknown, nothing happens.

    Who makes and removes much in one place is slow there for minutes: ext4 gives no inode away that was just freed, and
    looks at all of them for one that it may give.
    """
    with suppress(OSError):
        held = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            (flags,) = struct.unpack("l", fcntl.ioctl(held, _GET, bytes(struct.calcsize("l"))))
            fcntl.ioctl(held, _SET, struct.pack("l", flags | _TOP))
        finally:
            os.close(held)

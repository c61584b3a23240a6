"""Digests of what files hold, and of their extended attributes."""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

from layers.disk.paths import Root, encode
from layers.disk.stats import Stats, Status
from layers.errors import FileChanged
from layers.tar.xattrs import incoming, read

CHUNK = 1 << 20
FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


def of_attributes(xattrs: Mapping[str, bytes]) -> hashlib._Hash:
    """What begins with extended attributes."""
    hasher = hashlib.sha256()
    if not xattrs:
        return hasher
    for key, value in sorted(xattrs.items()):
        hasher.update(key.encode() + b"\0" + value + b"\0")
    return hasher


def of_file(descriptor: int, size: int) -> str:
    """The digest of a file from its position on; that of `size` bytes is read in one go. Raises OSError."""
    hasher = of_attributes(incoming(read(descriptor)))
    wanted = min(size + 1, CHUNK)
    while chunk := os.read(descriptor, wanted):
        hasher.update(chunk)
        if len(chunk) == size < wanted:
            break
    return hasher.hexdigest()


def of_files(root: Root, folder: str, names: Sequence[str], stats: Stats) -> list[str]:
    """The digests of files in a directory. Raises FileChanged for one that is not as it was looked at, OSError."""
    found = []
    looked = zip(names, stats.column("size"), stats.column("ino"), stats.column("ctime_ns"), strict=True)
    place = root.open(folder or ".", os.O_PATH | os.O_DIRECTORY, follow=False)
    try:
        for at, (name, size, inode, ctime_ns) in enumerate(looked):
            descriptor = os.open(encode(name), FLAGS, dir_fd=place)
            try:
                now = os.fstat(descriptor)
                unchanged = now.st_ctime_ns == ctime_ns and now.st_size == size and now.st_ino == inode
                if not unchanged and not stats[at].same(Status.of(now)):
                    raise FileChanged(f"{folder}/{name}" if folder else name)
                found.append(of_file(descriptor, size))
            finally:
                os.close(descriptor)
    finally:
        os.close(place)
    return found


def of_many(order: Sequence[Any], descriptors: Sequence[int]) -> list[list[str] | None]:
    """The helper's work: files of directories below a descriptor; None for a directory where that fails."""
    found: list[list[str] | None] = []
    with Root(f"/proc/self/fd/{descriptors[0]}") as root:
        for folder, names, numbers in order:
            try:
                found.append(of_files(root, folder, names, Stats(array("q", numbers))))
            except (FileChanged, OSError):
                found.append(None)
    return found

"""One thing in a layer: what a tar member or a path in an upper directory says.

Paths are text decoded with surrogateescape (any byte sequence survives), relative to the root of
the file system, without a leading or trailing slash; "" is the root itself.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from enum import StrEnum

from layers.quick import dataclass, field

SECOND = 1_000_000_000
"""Nanoseconds."""


class EntryType(StrEnum):
    """Kinds of entry; WHITEOUT and OPAQUE are the deletions of OCI image-spec, layer.md, "Whiteouts"."""

    FILE = "file"
    DIR = "dir"
    SYMLINK = "symlink"
    HARDLINK = "hardlink"
    CHAR = "char"
    BLOCK = "block"
    FIFO = "fifo"
    WHITEOUT = "whiteout"
    OPAQUE = "opaque"


KINDS = {
    stat.S_IFREG: EntryType.FILE,
    stat.S_IFDIR: EntryType.DIR,
    stat.S_IFLNK: EntryType.SYMLINK,
    stat.S_IFCHR: EntryType.CHAR,
    stat.S_IFBLK: EntryType.BLOCK,
    stat.S_IFIFO: EntryType.FIFO,
}
"""What the kinds of files on a disk are (stat.S_IFMT); sockets mean nothing in an image."""


def whole_seconds(time_ns: int) -> int:
    """A time as layers made here have it, and docker's, containerd's and BuildKit's: the start of its second.

    A fraction would take one kibibyte of PAX header for every file. What others wrote into their layers is kept.
    """
    return time_ns - time_ns % SECOND


def same_time(one: int, two: int) -> bool:
    """Equal, or a second's rounding apart: most layers and some file systems know whole seconds only."""
    return one == two or (abs(one - two) < SECOND and (one % SECOND == 0 or two % SECOND == 0))


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a layer. Sizes are bytes, times nanoseconds since the epoch.

    For a WHITEOUT, `path` is the path that is deleted; for an OPAQUE, the directory whose lower
    children are hidden. `linkname` is a symlink's target as written, or a hard link's target as a
    path like `path`. `offset` is where a file's data begin in the raw tar, if it lies in one.
    `sparse`, if given, lists the (position, length) of the pieces of a file that lie there one
    after another; all else of its `size` bytes is zeros.
    """

    path: str
    type: EntryType
    mode: int = 0
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime_ns: int = 0
    linkname: str = ""
    major: int = 0
    minor: int = 0
    xattrs: Mapping[str, bytes] = field(default_factory=dict)
    offset: int | None = None
    sparse: tuple[tuple[int, int], ...] | None = None

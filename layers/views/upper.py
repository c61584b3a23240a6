"""What an overlay's upper directory says: the changes that a command made (kernel overlayfs.rst, "whiteouts").

Directories are opened below the upper one without following links, so that even a command that is still running and
swaps what we look at cannot lead us out; what vanished meanwhile is skipped.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from layers.disk.paths import Root, encode
from layers.errors import UnsafePath
from layers.quick import replace
from layers.tar import xattrs
from layers.tar.entry import KINDS, Entry, EntryType, whole_seconds
from layers.tar.normal import hard_link
from layers.views.changes import Change, ChangeKind
from layers.views.tree import Tree

_OPAQUE = tuple(f"{start}opaque" for start in xattrs.OVERLAY)
_INCOMPLETE = tuple(f"{start}{mark}" for start in xattrs.OVERLAY for mark in ("redirect", "metacopy"))
_GONE = (FileNotFoundError, NotADirectoryError)
_PIECE = 1 << 20


def changes(upper: Path, below: Tree, hidden: Collection[str] = ()) -> Iterator[Change]:
    """What differs from the tree below, in canonical order: directories before what is in them.

    A directory that is only the way to a change is `implied`. A file that was copied up and is what it was before is
    no change. Of several names of one file the first carries it, the others are hard links. Sockets mean
    nothing in an image and are left out. `hidden` are paths that count only if they are not empty: places that
    mounts needed. Raises UnsafePath for what cannot be read without the layers below it.
    """
    with Root(upper) as root:
        found = _Scan(root, below, hidden).all()
    wanted: list[Change] = []
    ways: set[str] = set()
    listed: set[str] = set()  # directories in which names appeared or went away
    for kind, entry, old, *_ in reversed(found):
        implied = False
        if entry.type is EntryType.DIR:
            same = old is not None and same_attributes(old, entry)
            if entry.path not in ways and (same or (old is None and entry.path in hidden)):
                continue
            implied = (
                same
                and entry.path not in listed
                and (old is not None and whole_seconds(old.mtime_ns) == entry.mtime_ns)
            )
        head = entry.path.rpartition("/")[0]
        ways.add(head)
        if kind is not ChangeKind.MODIFIED:
            listed.add(head)
        wanted.append(Change(kind, entry, implied))
    yield from reversed(wanted)


def root_change(upper: Path, below: Tree) -> Entry | None:
    """The entry of the root itself, if its owner, mode or attributes were changed."""
    exact = entry_of("", EntryType.DIR, os.lstat(upper), "", xattrs.incoming(xattrs.read(str(upper))))
    entry = in_whole_seconds(exact)
    old = below.get("")
    return None if old is not None and same_attributes(old, entry) else entry


class _Found(NamedTuple):
    """Something in the upper directory.

    `opaque`: a directory through which the old one's content does not show; `inode`: of a file of several names.
    """

    kind: ChangeKind
    entry: Entry
    old: Entry | None = None
    opaque: bool = False
    inode: tuple[int, int] | None = None


class _Scan:
    def __init__(self, root: Root, below: Tree, hidden: Collection[str]) -> None:
        self._root = root
        self._below = below
        self._hidden = hidden

    def all(self) -> list[_Found]:
        """All that is there but unchanged files; each directory before what is in it."""
        found: list[_Found] = []
        files: dict[tuple[int, int], str] = {}
        waiting = self._directory("", opaque=False)[::-1]
        while waiting:
            one = waiting.pop()
            path = one.entry.path
            if one.entry.type is EntryType.DIR:
                waiting += self._directory(path, opaque=one.opaque)[::-1]
            elif one.inode and (first := files.setdefault(one.inode, path)) != path:
                one = one._replace(entry=hard_link(one.entry, path, first))
            found.append(one)
        return found

    def _directory(self, path: str, *, opaque: bool) -> list[_Found]:
        try:
            place = self._root.open(path, os.O_RDONLY | os.O_DIRECTORY, follow=False)
        except _GONE:
            return []
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            raise UnsafePath(
                f"{path[:60]}…", "so deep that its path is longer than 4095 bytes; no image can hold it"
            ) from error
        try:
            names = set(os.listdir(place))
            every = names.union(self._below.children(path)) if opaque else names
            found = []
            for name in sorted(every, key=encode):
                inner = f"{path}/{name}" if path else name
                one = self._one(place, name, inner, opaque=opaque) if name in names else _removed(inner)
                if one is not None:
                    found.append(one)
            return found
        finally:
            os.close(place)

    def _one(self, place: int, name: str, path: str, *, opaque: bool) -> _Found | None:
        try:
            status = os.stat(name, dir_fd=place, follow_symlinks=False)
            if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                return _removed(path) if self._below.holds(path) else None
            kind = KINDS.get(stat.S_IFMT(status.st_mode))
            if kind is None:
                return None
            linkname = os.readlink(name, dir_fd=place) if kind is EntryType.SYMLINK else ""
            marks = xattrs.read(f"/proc/self/fd/{place}/{name}")
        except _GONE:
            return None
        if not marks.keys().isdisjoint(_INCOMPLETE):
            raise UnsafePath(path, "overlayfs left only a reference to lower layers here (redirect_dir or metacopy)")
        entry = in_whole_seconds(entry_of(path, kind, status, linkname, xattrs.incoming(marks)))
        old = self._below.get(path)
        change = ChangeKind.ADDED if old is None else ChangeKind.MODIFIED
        if kind is EntryType.DIR:
            lower = old is not None and old.type is EntryType.DIR
            return _Found(change, entry, old, lower and (opaque or any(marks.get(mark) == b"y" for mark in _OPAQUE)))
        if status.st_nlink > 1:
            return _Found(change, entry, inode=(status.st_dev, status.st_ino))
        if old is None and path in self._hidden and kind is EntryType.FILE and not entry.size:
            return None
        return None if old is not None and self._is_same(place, name, old, entry) else _Found(change, entry)

    def _is_same(self, place: int, name: str, old: Entry, new: Entry) -> bool:
        """True if a file, though copied up, is what it was; one of several names is not, as it is a file alone now."""
        if not same_attributes(old, new) or (old.size, whole_seconds(old.mtime_ns)) != (new.size, new.mtime_ns):
            return False
        if (old.linkname, old.major, old.minor) != (new.linkname, new.major, new.minor):
            return False
        if self._below.is_shared(new.path):
            return False
        if new.type is not EntryType.FILE or not new.size:
            return True
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with self._below.open(new.path) as before, open(os.open(name, flags, dir_fd=place), "rb", 0) as now:
            while piece := before.read(_PIECE):
                if piece != now.read(len(piece)):
                    return False
        return True


def _removed(path: str) -> _Found:
    return _Found(ChangeKind.REMOVED, Entry(path, EntryType.WHITEOUT))


def entry_of(path: str, kind: EntryType, status: os.stat_result, linkname: str, kept: Mapping[str, bytes]) -> Entry:
    """What lstat, readlink and the attributes of a path say, as an entry; its time is exact, no layer's yet."""
    size = status.st_size if kind is EntryType.FILE else 0
    device = status.st_rdev if kind in (EntryType.CHAR, EntryType.BLOCK) else 0
    return Entry(
        path, kind, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, size, status.st_mtime_ns, linkname,
        os.major(device), os.minor(device), kept,
    )  # fmt: skip


def in_whole_seconds(entry: Entry) -> Entry:
    """The same as a layer that is made here says it."""
    return replace(entry, mtime_ns=whole_seconds(entry.mtime_ns))


def same_attributes(old: Entry, new: Entry) -> bool:
    """Equal but for content and time; for a directory, whose time changes with what is in it, that is all."""
    return (old.type, old.mode, old.uid, old.gid, dict(old.xattrs)) == (
        new.type, new.mode, new.uid, new.gid, dict(new.xattrs),
    )  # fmt: skip

"""What an overlay's upper directory says: the changes that a command made (kernel overlayfs.rst, "whiteouts").

Symlinks are never followed, because only names that the directory itself lists are used; the directory must not be
written meanwhile, except for looking at a running container, where a vanished name is skipped.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from layers import xattrs
from layers.changes import Change, ChangeKind
from layers.entry import Entry, EntryType
from layers.normal import hard_link
from layers.paths import decode, encode
from layers.tree import Tree

OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")
_KINDS = {
    stat.S_IFREG: EntryType.FILE,
    stat.S_IFDIR: EntryType.DIR,
    stat.S_IFLNK: EntryType.SYMLINK,
    stat.S_IFCHR: EntryType.CHAR,
    stat.S_IFBLK: EntryType.BLOCK,
    stat.S_IFIFO: EntryType.FIFO,
}


def changes(upper: Path, below: Tree, hidden: Collection[str] = ()) -> Iterator[Change]:
    """What differs from the tree below, directories before what is in them.

    A directory that is only the way to a change is `implied`. Of several names of one file the first carries it, the
    others are hard links. Sockets mean nothing in an image and are left out. `hidden` are paths that count only
    if they are not empty: places that mounts needed.
    """
    yield from _Scan(os.fsencode(upper), below, hidden).directory("", opaque=False)


class _Scan:
    def __init__(self, top: bytes, below: Tree, hidden: Collection[str] = ()) -> None:
        self._top = top
        self._below = below
        self._hidden = hidden
        self._files: dict[tuple[int, int], str] = {}

    def directory(self, path: str, *, opaque: bool) -> Iterator[Change]:
        """The changes in a directory of the upper layer; `opaque`: nothing below shows through."""
        place = os.path.join(self._top, encode(path)) if path else self._top
        try:
            names = sorted(os.listdir(place))
        except (FileNotFoundError, NotADirectoryError):
            return
        if opaque:
            have = set(names)
            gone = [name for name in self._below.children(path) if encode(name) not in have]
        else:
            gone = []
        for name in gone:
            yield removed(_join(path, name))
        for raw in names:
            yield from self._one(_join(path, decode(raw)), os.path.join(place, raw), opaque=opaque)

    def _one(self, path: str, place: bytes, *, opaque: bool) -> Iterator[Change]:
        try:
            status = os.lstat(place)
        except FileNotFoundError:
            return
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
            if self._below.holds(path):
                yield removed(path)
            return
        kind = _KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is None:
            return
        old = self._below.get(path)
        entry = self._entry(path, place, status, kind)
        change = ChangeKind.ADDED if old is None else ChangeKind.MODIFIED
        unwanted = old is None and path in self._hidden
        if kind is not EntryType.DIR:
            if not unwanted or kind is not EntryType.FILE or entry.size:
                yield Change(change, entry)
            return
        hidden = opaque or (old is not None and (old.type is not EntryType.DIR or _is_opaque(place)))
        inner = list(self.directory(path, opaque=hidden and old is not None and old.type is EntryType.DIR))
        same = old is not None and _same_directory(old, entry)
        if (same or unwanted) and not inner:
            return
        listed = any(
            each.kind is not ChangeKind.MODIFIED and each.entry.path.rpartition("/")[0] == path for each in inner
        )
        yield Change(change, entry, implied=same and not listed and old is not None and old.mtime_ns == entry.mtime_ns)
        yield from inner

    def _entry(self, path: str, place: bytes, status: os.stat_result, kind: EntryType) -> Entry:
        linkname = decode(os.readlink(place)) if kind is EntryType.SYMLINK else ""
        device = kind in (EntryType.CHAR, EntryType.BLOCK)
        entry = Entry(
            path,
            kind,
            stat.S_IMODE(status.st_mode),
            status.st_uid,
            status.st_gid,
            status.st_size if kind is EntryType.FILE else 0,
            status.st_mtime_ns,
            linkname,
            os.major(status.st_rdev) if device else 0,
            os.minor(status.st_rdev) if device else 0,
            xattrs.incoming(xattrs.read(decode(place))),
        )
        if kind is EntryType.DIR or status.st_nlink < 2:
            return entry
        first = self._files.setdefault((status.st_dev, status.st_ino), path)
        return entry if first == path else hard_link(entry, path, first)


def root_change(upper: Path, below: Tree) -> Entry | None:
    """The entry of the root itself, if its owner, mode or attributes were changed."""
    status = os.lstat(upper)
    entry = _Scan(os.fsencode(upper), below)._entry("", os.fsencode(upper), status, EntryType.DIR)
    old = below.get("")
    return None if old is not None and _same_directory(old, entry) else entry


def removed(path: str) -> Change:
    """A deletion."""
    return Change(ChangeKind.REMOVED, Entry(path, EntryType.WHITEOUT))


def _join(head: str, name: str) -> str:
    return f"{head}/{name}" if head else name


def _is_opaque(place: bytes) -> bool:
    for name in OPAQUE:
        try:
            if os.getxattr(place, name, follow_symlinks=False) == b"y":
                return True
        except OSError:  # not there, or not for us to read
            continue
    return False


def _same_directory(old: Entry, new: Entry) -> bool:
    """Equal but for its time, which changes with what is in it."""
    return (
        old.type is EntryType.DIR
        and (old.mode, old.uid, old.gid) == (new.mode, new.uid, new.gid)
        and dict(old.xattrs) == dict(new.xattrs)
    )

"""What leads from one file system to another, both as trees; nothing is unpacked."""

from __future__ import annotations

from collections.abc import Iterator

from layers.changes import Change, ChangeKind
from layers.entry import Entry, EntryType
from layers.paths import encode
from layers.tree import Tree

PIECE = 1 << 20


def diff(before: Tree, after: Tree) -> Iterator[Change]:
    """Added, modified and removed paths in canonical order; what is in a removed directory is not listed.

    Bytes of files are compared only where sizes are equal and the two lie in different layers.
    """
    waiting = [""]
    while waiting:
        path = waiting.pop()
        there, here = before.get(path), after.get(path)
        if here is None:
            yield Change(ChangeKind.REMOVED, Entry(path, EntryType.WHITEOUT))
            continue
        if there is None:
            yield Change(ChangeKind.ADDED, here)
        elif path and not _equal(before, after, there, here):
            yield Change(ChangeKind.MODIFIED, here)
        if here.type is EntryType.DIR:
            names = {*before.children(path), *after.children(path)}
            waiting += [f"{path}/{name}" if path else name for name in sorted(names, key=encode, reverse=True)]


def _equal(before: Tree, after: Tree, old: Entry, new: Entry) -> bool:
    """The same thing with the same attributes and bytes."""
    plain = [
        (
            entry.type,
            entry.mode,
            entry.uid,
            entry.gid,
            entry.size,
            entry.mtime_ns,
            entry.linkname,
            entry.major,
            entry.minor,
            dict(entry.xattrs),
        )
        for entry in (old, new)
    ]
    if plain[0] != plain[1]:
        return False
    if new.type is not EntryType.FILE or not new.size or before.inode(old.path) == after.inode(new.path):
        return True
    with before.open(old.path) as one, after.open(new.path) as two:
        while True:
            left, right = one.read(PIECE), two.read(PIECE)
            if left != right:
                return False
            if not left:
                return True

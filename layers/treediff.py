"""What leads from one file system to another, both as trees; nothing is unpacked."""

from __future__ import annotations

from collections.abc import Iterator

from layers.changes import Change, ChangeKind
from layers.entry import Entry, EntryType
from layers.tree import Tree

PIECE = 1 << 20


def diff(before: Tree, after: Tree) -> Iterator[Change]:
    """Added, modified and removed paths in canonical order; what is in a removed directory is not listed.

    Bytes of files are compared only where sizes are equal and the two lie in different layers.
    """
    yield from _directory(before, after, "")


def _directory(before: Tree, after: Tree, path: str) -> Iterator[Change]:
    old, new = set(before.children(path)), set(after.children(path))
    for name in sorted(old | new):
        place = f"{path}/{name}" if path else name
        there, here = before.get(place), after.get(place)
        if here is None:
            yield Change(ChangeKind.REMOVED, Entry(place, EntryType.WHITEOUT))
            continue
        if there is None:
            yield from _added(after, here)
            continue
        if EntryType.DIR in (there.type, here.type) and there.type is not here.type:
            yield Change(ChangeKind.MODIFIED, here)
            if here.type is EntryType.DIR:
                yield from (change for child in _below(after, place) for change in _added(after, child))
            continue
        if not _equal(before, after, there, here):
            yield Change(ChangeKind.MODIFIED, here)
        if here.type is EntryType.DIR:
            yield from _directory(before, after, place)


def _below(tree: Tree, path: str) -> Iterator[Entry]:
    for name in tree.children(path):
        if (entry := tree.get(f"{path}/{name}")) is not None:
            yield entry


def _added(tree: Tree, entry: Entry) -> Iterator[Change]:
    yield Change(ChangeKind.ADDED, entry)
    if entry.type is EntryType.DIR:
        for child in _below(tree, entry.path):
            yield from _added(tree, child)


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

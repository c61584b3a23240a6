"""Several layers as one: the same files over the same layers below, or with nothing below as one tar.

Only tables of contents are read, and the data of the files that are seen at the end. Holes are written as zeros.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

from layers.chain import Chain
from layers.compose import Data, compose
from layers.digest import DiffID
from layers.entry import Entry, EntryType
from layers.image import NewLayer
from layers.normal import hard_link
from layers.tarball import TarWriter, ordered
from layers.toc import Toc
from layers.tree import Tree

if TYPE_CHECKING:
    from layers.store import Store


def squash(store: Store, diff_ids: Sequence[DiffID], below: Chain) -> NewLayer:
    """One layer that does to `below` what `diff_ids`, lowest first, do one after another. Raises BlobMissing."""
    tocs = [store.toc(diff_id) for diff_id in diff_ids]
    tree = store.tree(Chain(tuple(diff_ids)))
    base = store.tree(below)
    entries = list(_kept(tree, tocs, base))
    entries += _deletions(tree, tocs, base)
    return compose(store, _items(tree, ordered(entries)))


def flat(tree: Tree, sink: BinaryIO) -> int:
    """Write a whole file system as one tar, as it is read; the bytes written. Raises OSError from the sink."""
    writer = TarWriter(sink.write)
    for entry, data in _items(tree, (entry for entry in tree.walk() if entry.path or tree.lists(""))):
        writer.add(entry, data)
    return writer.close()


def _kept(tree: Tree, tocs: Sequence[Toc], base: Tree) -> Iterator[Entry]:
    """What stands at the end; a directory that no layer lists looks as it does below."""
    for entry in tree.walk():
        if entry.type is EntryType.DIR and not any(toc.get(entry.path) is not None for toc in tocs):
            if entry.path and (found := base.get(entry.path)) is not None and found.type is EntryType.DIR:
                yield found
            elif entry.path:
                yield entry
            continue
        yield entry


def _deletions(tree: Tree, tocs: Sequence[Toc], base: Tree) -> list[Entry]:
    """What has to be hidden of the tree below: each name once, and directories that were replaced whole.

    A directory that was a file for a while is one of these, although no layer deletes it by name.
    """
    hidden: dict[str, Entry] = {}
    for toc in tocs:
        for entry in toc:
            if entry.type is EntryType.DIR:
                continue
            here, there = tree.get(entry.path), base.get(entry.path)
            if there is None:
                continue
            if here is None:
                hidden[entry.path] = Entry(entry.path, EntryType.WHITEOUT)
            elif here.type is EntryType.DIR and there.type is EntryType.DIR:
                hidden[entry.path] = Entry(entry.path, EntryType.OPAQUE)
    return [entry for path, entry in hidden.items() if not _needless(path, hidden, tree)]


def _needless(path: str, hidden: Mapping[str, Entry], tree: Tree) -> bool:
    """True if something above a path hides it already: a deletion, or a file where a directory was."""
    while path:
        path = path.rpartition("/")[0]
        if path in hidden:
            return True
        if path and (found := tree.get(path)) is not None and found.type is not EntryType.DIR:
            return True
    return False


def _items(tree: Tree, entries: Iterable[Entry]) -> Iterator[tuple[Entry, Data]]:
    """Entries with their data; names of one file stay links to the first of them."""
    first: dict[tuple[int, str], str] = {}
    for entry in entries:
        if entry.type is not EntryType.FILE:
            yield entry, None
            continue
        inode = tree.inode(entry.path)
        assert inode is not None
        head = first.setdefault((id(inode[0]), inode[1]), entry.path)
        if head != entry.path:
            yield hard_link(entry, entry.path, head), None
            continue
        with ExitStack() as stack:
            content = stack.enter_context(tree.open(entry.path)) if entry.size else io.BytesIO()
            yield replace(entry, sparse=None), content

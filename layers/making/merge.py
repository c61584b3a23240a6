"""Several layers as one: the same files over the same layers below, or with nothing below as one tar.

Only tables of contents are read, and the data of the files that are seen at the end. Holes are written as zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, BinaryIO

from layers.errors import UnsafePath
from layers.making.compose import compose
from layers.oci.chain import Chain
from layers.oci.digest import DiffID
from layers.oci.image import NewLayer
from layers.quick import replace
from layers.tar.entry import Entry, EntryType
from layers.tar.normal import hard_link
from layers.tar.tarball import TarWriter, ordered
from layers.tar.toc import Toc
from layers.views.contents import Contents
from layers.views.tree import BROKEN, Tree

if TYPE_CHECKING:
    from layers.home.store import Store


def squash(store: Store, diff_ids: Sequence[DiffID], below: Chain) -> NewLayer:
    """One layer that does to `below` what `diff_ids`, lowest first, do one after another.

    Raises BlobMissing, and UnsafePath for a hard link to what is not there.
    """
    tocs = [store.toc(diff_id) for diff_id in diff_ids]
    tree, base = store.tree(Chain(tuple(diff_ids))), store.tree(below)
    whole = store.tree(Chain((*below.diff_ids, *diff_ids)))
    linked = _linked(tree, whole, tocs, (entry for diff_id in below.diff_ids for entry in store.toc(diff_id)))
    entries = list(_kept(tree, whole))
    entries += [entry for entry, _ in linked.values()]
    entries += _deletions(tree, whole, tocs, base)
    entries += _ways(entries, whole)
    links = {path: target for path, (_, target) in linked.items() if target}
    return compose(store, _items(whole, ordered(entries), links))


def flat(trees: Sequence[tuple[str, Tree]], sink: BinaryIO, stamp: Callable[[Entry], Entry] | None = None) -> int:
    """Write whole file systems as one tar, as they are read; the bytes written. `stamp` gives entries another time.

    Each lies below the directory that is given with it, "" for the top.

    Raises as `squash`, and OSError.
    """
    writer = TarWriter(sink.write)
    for folder, tree in trees:
        entries = (entry for entry in tree.walk(strict=True) if entry.path or folder or tree.lists(""))
        for entry, data in _items(tree, entries, {}):
            placed = entry if not folder else _below(folder, entry)
            writer.add(placed if stamp is None else stamp(placed), data)
    return writer.close()


def _below(folder: str, entry: Entry) -> Entry:
    """The entry where its file system lies in a directory."""
    link = f"{folder}/{entry.linkname}" if entry.type is EntryType.HARDLINK else entry.linkname
    return replace(entry, path=f"{folder}/{entry.path}".rstrip("/"), linkname=link)


def _linked(tree: Tree, whole: Tree, tocs: Sequence[Toc], base: Iterable[Entry]) -> dict[str, tuple[Entry, str]]:
    """Hard links to files of the layers below: what they show, and a name there that still is the same file, if any."""
    found: dict[str, tuple[Entry, str]] = {}
    moved = []
    for toc in tocs:
        for entry in toc:
            path, target = entry.path, entry.linkname
            if entry.type is not EntryType.HARDLINK or tree.get(path) is not None:
                continue
            if (seen := whole.get(path)) is not None:
                same = tree.get(target) is None and whole.inode(target) == whole.inode(path)
                found[path] = (seen, target if same else "")
                moved += [] if same else [path]
            elif path.rpartition("/")[2] in whole.children(path.rpartition("/")[0]):
                raise UnsafePath(path, BROKEN)
    if moved:  # the name is another file's now, or nobody's; the file may have others
        names = [
            one.path for one in base if one.type in (EntryType.FILE, EntryType.HARDLINK) and not tree.get(one.path)
        ]
        others: dict[object, str] = {inode: name for name in names if (inode := whole.inode(name)) is not None}
        found |= {path: (found[path][0], others.get(whole.inode(path), "")) for path in moved}
    return found


def _kept(tree: Tree, whole: Tree) -> Iterator[Entry]:
    """What stands at the end; a directory that no layer lists looks as it does with those below."""
    for entry in tree.walk():
        if entry.type is not EntryType.DIR or tree.lists(entry.path):
            yield entry
        elif entry.path and (found := whole.get(entry.path)) is not None:
            yield found


def _deletions(tree: Tree, whole: Tree, tocs: Sequence[Toc], base: Tree) -> list[Entry]:
    """What has to be hidden of the tree below: each name once, and directories that were replaced whole.

    A directory that was a file for a while is one of these, although no layer deletes it by name.
    """
    hidden: dict[str, Entry] = {}
    for toc in tocs:
        for entry in toc:
            if entry.type is EntryType.DIR:
                continue
            here, there = tree.get(entry.path) or whole.get(entry.path), base.get(entry.path)
            if there is None:
                continue
            if here is None:
                hidden[entry.path] = Entry(entry.path, EntryType.WHITEOUT)
            elif here.type is EntryType.DIR and there.type is EntryType.DIR:
                hidden[entry.path] = Entry(entry.path, EntryType.OPAQUE)
    return [entry for path, entry in hidden.items() if not _needless(path, hidden, whole)]


def _ways(entries: Sequence[Entry], whole: Tree) -> list[Entry]:
    """Directories on the way to what is hidden or linked that are not listed yet."""
    listed = {entry.path for entry in entries if entry.type is not EntryType.OPAQUE}
    found = []
    for entry in entries:
        path = entry.path if entry.type is EntryType.OPAQUE else entry.path.rpartition("/")[0]
        while path and path not in listed:
            listed.add(path)
            if (way := whole.get(path)) is not None:
                found.append(way)
            path = path.rpartition("/")[0]
    return found


def _needless(path: str, hidden: Mapping[str, Entry], tree: Tree) -> bool:
    """True if something above a path hides it already: a deletion, or a file where a directory was."""
    while path:
        path = path.rpartition("/")[0]
        if path in hidden:
            return True
        if path and (found := tree.get(path)) is not None and found.type is not EntryType.DIR:
            return True
    return False


def _items(
    tree: Tree, entries: Iterable[Entry], links: Mapping[str, str]
) -> Iterator[tuple[Entry, BinaryIO | int | None]]:
    """Entries with their data; names of one file stay links to the first of them, or to one below as in `links`."""
    first: dict[tuple[int, str], str] = {}
    with Contents(tree) as contents:
        for entry in entries:
            if entry.type in (EntryType.DIR, EntryType.WHITEOUT, EntryType.OPAQUE):
                yield entry, None
                continue
            found = tree.locate(entry.path)
            assert found is not None
            layer, _, name = found
            head = links.get(entry.path) or first.setdefault((layer, name), entry.path)
            if head != entry.path:
                yield hard_link(entry, entry.path, head), None
            elif entry.type is not EntryType.FILE or not entry.size:
                yield replace(entry, sparse=None), None
            elif (descriptor := contents.at(layer, entry)) is not None:
                yield entry, descriptor
            else:
                with tree.open(entry.path) as content:
                    yield replace(entry, sparse=None), content

"""Files of this machine as a layer of their own, under another path, and single deletions: what umoci calls insert."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from layers.bundles.idmap import IdMap
from layers.bundles.rootfs import difference
from layers.disk.paths import Root, normalise
from layers.errors import UnsafePath
from layers.making.compose import Data, compose
from layers.quick import replace
from layers.tar import xattrs
from layers.tar.entry import KINDS, Entry, EntryType
from layers.tar.tarball import ordered
from layers.views.tree import Tree
from layers.views.upper import entry_of, in_whole_seconds

if TYPE_CHECKING:
    from layers.home.store import Store
    from layers.oci.image import NewLayer


def insertion(
    store: Store, source: Path, target: str, *, opaque: bool = False, ids: IdMap, warn: Callable[[str], object]
) -> NewLayer:
    """A layer in which `source`, a file or a directory with all that is in it, is `target`.

    `opaque`: of a directory only that is there then. `ids` are the maps by which its owners are seen here. `warn` gets
    a sentence for each thing that no layer can hold. Raises UnsafePath, IdUnmapped, FileChanged, OSError.
    """
    path = normalise(target)
    if not stat.S_ISDIR(os.lstat(source).st_mode):
        if opaque:
            raise UnsafePath(path, "only a directory can hide what was below it")
        with Root(source.parent) as root:
            return compose(store, single(root, source.name, path, ids))
    with Root(source) as root:
        marks = xattrs.incoming(xattrs.read(f"/proc/self/fd/{root.fd}/."))
        head = in_whole_seconds(ids.inside(entry_of(path, EntryType.DIR, os.fstat(root.fd), "", marks)))
        found = difference(root, Tree([]), ids=ids, warn=warn)
        return compose(store, moved(found.items(root), head, opaque=opaque))


def deletion(store: Store, target: str) -> NewLayer:
    """A layer in which `target` is not there any more. Raises UnsafePath."""
    path = normalise(target)
    if not path:
        raise UnsafePath(target, "the root cannot be deleted")
    return compose(store, [(Entry(path, EntryType.WHITEOUT), None)])


def single(root: Root, name: str, path: str, ids: IdMap) -> Iterator[tuple[Entry, Data]]:
    """One file, link or node under its new path."""
    place = root.open(name, os.O_PATH | os.O_NOFOLLOW, follow=False)
    try:
        status = os.fstat(place)
        kind = KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is None or not path:
            raise UnsafePath(path or "/", "no image can hold that there")
        link = os.readlink("", dir_fd=place) if kind is EntryType.SYMLINK else ""
        marks = xattrs.incoming(xattrs.read(f"/proc/self/fd/{root.fd}/{name}"))
        entry = in_whole_seconds(ids.inside(entry_of(path, kind, status, link, marks)))
        if kind is not EntryType.FILE:
            yield entry, None
            return
        data = os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield entry, data
        finally:
            os.close(data)
    finally:
        os.close(place)


def moved(items: Iterator[tuple[Entry, Data]], head: Entry, *, opaque: bool) -> Iterator[tuple[Entry, Data]]:
    """The entries of a directory as those of `head`; with `opaque` it hides what was in it."""
    for entry in ordered([head, *([Entry(head.path, EntryType.OPAQUE)] if opaque else [])]):
        yield entry, None
    for entry, data in items:
        if entry.path:
            link = below(head.path, entry.linkname) if entry.type is EntryType.HARDLINK else entry.linkname
            yield replace(entry, path=below(head.path, entry.path), linkname=link), data


def below(path: str, inner: str) -> str:
    """A path in a directory."""
    return "/".join(part for part in (path, inner) if part)

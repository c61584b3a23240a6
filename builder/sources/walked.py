"""A file system that was just fetched or opened becomes one layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from layers import Entry, EntryType
from layers.tar.normal import hard_link
from layers.tar.tarball import ordered

if TYPE_CHECKING:
    from layers import NewLayer, Store
    from layers.making.compose import Data
    from layers.views.files import Files


def layer_of(store: Store, files: Files, shaped: Callable[[Entry], Entry | None]) -> NewLayer:
    """The layer of all that `files` has, each entry as `shaped` wants it; what that leaves out stays out with its own.

    Raises OSError, StoreFull, UnsafePath.
    """
    from layers.making.compose import compose

    return compose(store, _items(files, ordered(_found(files, "", shaped))))


def _found(files: Files, path: str, shaped: Callable[[Entry], Entry | None]) -> Iterator[Entry]:
    for name in files.children(path):
        place = f"{path}/{name}" if path else name
        there = files.get(place)
        entry = None if there is None else shaped(there)
        if entry is None:
            continue
        yield entry
        if entry.type is EntryType.DIR:
            yield from _found(files, place, shaped)


def _items(files: Files, entries: list[Entry]) -> Iterator[tuple[Entry, Data]]:
    first: dict[object, str] = {}
    for entry in entries:
        if entry.type is not EntryType.FILE:
            yield entry, None
            continue
        group = files.inode(entry.path)
        if group is not None and (head := first.setdefault(group, entry.path)) != entry.path:
            yield hard_link(entry, entry.path, head), None
            continue
        with files.open(entry.path) as data:
            yield entry, data

"""From an upper directory to a layer."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from layers.disk.paths import Root
from layers.making.compose import Data, compose
from layers.tar.entry import Entry, EntryType
from layers.tar.tarball import ordered
from layers.views import upper as upper_dir
from layers.views.changes import Change, ChangeKind

if TYPE_CHECKING:
    from layers.home.store import Store
    from layers.making.packing import Form
    from layers.oci.image import NewLayer
    from layers.views.tree import Tree


def capture(
    store: Store,
    upper: Path,
    below: Tree,
    hidden: Collection[str] = (),
    form: Form | None = None,
    *,
    stamp: Callable[[Change], Entry] | None = None,
) -> NewLayer:
    """The layer of what an overlay's upper directory changes; one of nothing if nothing changed.

    `hidden` as in `layers.views.upper.changes`, `form` as in `layers.making.compose`; `stamp` gives a changed entry
    another time. Two captures of one directory give the same bytes. Raises StoreFull, and OSError if the directory
    cannot be read.
    """
    found = [*upper_dir.changes(upper, below, hidden)]
    root = upper_dir.root_change(upper, below)
    if root is not None:
        found.append(Change(ChangeKind.MODIFIED, root))
    original = {} if stamp is None else {change.entry.path: change.entry.mtime_ns for change in found}
    entries = [change.entry if stamp is None else stamp(change) for change in found]
    return compose(store, _with_data(upper, ordered(entries)), form, original)


def _with_data(upper: Path, entries: list[Entry]) -> Iterator[tuple[Entry, Data]]:
    with Root(upper) as root:
        for entry in entries:
            if entry.type is not EntryType.FILE or not entry.size:
                yield entry, None
                continue
            descriptor = root.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, follow=False)
            try:
                yield entry, descriptor
            finally:
                os.close(descriptor)

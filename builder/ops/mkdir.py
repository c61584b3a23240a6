"""WORKDIR: the directory and what is missing above it, straight into a layer; nothing is mounted."""

from __future__ import annotations

import posixpath
import time
from typing import TYPE_CHECKING

from builder.errors import StepFailed
from builder.graph import Mkdir, Step
from builder.times import stamped
from layers import Chain, Entry, EntryType
from layers.tar.entry import SECOND

if TYPE_CHECKING:
    from builder.times import Times
    from layers import NewLayer, Store

MODE = 0o755


def mkdir(store: Store, below: Chain, step: Step, epoch: int | None, times: Times | None) -> NewLayer:
    """Make the layer; one that is there already gives a layer of nothing. Raises StepFailed, AccountMissing.

    The directory is as old as `times` says, or else `epoch` (seconds since 1970), or else new.
    """
    from layers.making.compose import compose

    op = step.op
    assert isinstance(op, Mkdir)
    tree = store.tree(below)
    uid, gid = tree.accounts().owner(op.user)
    path = tree.resolve(op.path.strip("/"))
    epoch = times.epoch if times is not None else epoch
    now = time.time_ns() if epoch is None else epoch * SECOND
    missing: list[Entry] = []
    while path:
        found = tree.get(path)
        if found is not None:
            if found.type is not EntryType.DIR:
                raise StepFailed(step.title, f"/{path} is a {found.type.value}, not a directory", span=step.span)
            break
        missing.append(Entry(path, EntryType.DIR, MODE, uid, gid, mtime_ns=now))
        path = posixpath.dirname(path)
    parents: list[Entry] = []
    while missing and path:  # unchanged parents, so that the layer can be applied by itself
        if (found := tree.get(path)) is not None:
            parents.append(found)
        path = posixpath.dirname(path)
    return compose(store, [(entry, None) for entry in stamped(times, [*reversed(parents), *reversed(missing)])])

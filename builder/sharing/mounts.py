"""Cache mounts out of a shared cache: a directory that is new here begins with what was in it there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from layers import Chain, Digest

if TYPE_CHECKING:
    from builder.sharing.known import Imports
    from layers import Store


def fill(store: Store, imports: Imports, key: Digest, path: Path) -> bool:
    """Make the directory `path` of a cache mount; False if no shared cache knows it. Raises CacheBroken, OSError."""
    from layers.snapshot.unpack import unpack

    if (source := imports.mounts.get(key.hex)) is None:
        return False
    data = source.document.mounts[key.hex]
    source.fetch(store, data.diff_id, lambda _: None)
    path.mkdir()
    with store.blobs.open(data.diff_id) as raw:
        unpack(store.toc(data.diff_id), raw, path, overlay=False, below=store.tree(Chain()))
    os.chown(path, data.uid, data.gid)
    os.chmod(path, data.mode)
    return True

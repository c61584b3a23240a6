"""Containers as far as a store knows them: a row each, with the digests that it needs, and a folder of the same name.

A folder is made before its row and goes before it, so a process that was killed leaves one without the other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite3 import Connection

    from layers.home.store import Store


def bodiless(store: Store, db: Connection) -> list[str]:
    """Rows whose folder is gone."""
    names = [name for (name,) in db.execute("SELECT id FROM container")]
    return [name for name in names if not os.path.lexists(store.root / "containers" / name)]


def homeless(store: Store) -> Iterator[Path]:
    """Folders that no row speaks of: half made or half removed, or being made now."""
    folders = {entry.name: Path(entry.path) for entry in os.scandir(store.root / "containers")}
    for (name,) in store.db.rows("SELECT id FROM container"):
        folders.pop(name, None)
    yield from folders.values()

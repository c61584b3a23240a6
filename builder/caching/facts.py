"""Digests of files in results of steps: a layer never changes, so what was read of it once need not be read again.

They are kept with the layers, and travel with a shared cache: so a COPY --from is found in it without its files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from builder.graph import Copy

if TYPE_CHECKING:
    from builder.sharing.supply import Supply
    from layers import Chain, Store

FORMAT = 2
"""Counts up whenever a selection gets another digest for the same files."""


class Facts:
    """Those that one build knows. `imported` are those of shared caches, `used` those that it asked for."""

    def __init__(self, store: Store, supply: Supply, imported: Mapping[str, str]) -> None:
        self._store = store
        self._imported = imported
        self.supply = supply
        self.used: dict[str, str] = {}

    def find(self, key: str) -> str | None:
        """The digest that is known, if it is."""
        record = self._store.records.find(key)
        found = record.value["content"] if record is not None else self._imported.get(key)
        if found is not None:
            self.used[key] = found
        return found

    def has(self, chain: Chain, op: Copy) -> bool:
        """True if it is known what a COPY selects in a chain."""
        return self.find(selected(chain, op)) is not None

    def keep(self, key: str, content: str, chain: Chain) -> None:
        """Remember one, of files in layers that are here."""
        self.used[key] = content
        if chain.diff_ids:
            self._store.records.keep(key, {"content": content}, chain.diff_ids[-1:])


def selected(chain: Chain, op: Copy) -> str:
    """The name of what a COPY selects in a chain."""
    said = [FORMAT, str(chain.id), op.sources, op.files, op.excludes, op.parents]
    return f"selected:{hashlib.sha256(json.dumps(said).encode('utf-8', 'surrogateescape')).hexdigest()}"

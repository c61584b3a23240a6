"""All that endpoints work with: the store, what its repositories hold, and the uploads that are going on."""

from __future__ import annotations

import time

from layers import Store
from layers.quick import dataclass, field
from registry.server.holdings import Holdings
from registry.server.uploads import Uploads

TURN = 1800.0
"""Seconds after which claims that were not renewed are on notice; they end after as long again."""


@dataclass(slots=True)
class Shelf:
    """A store that is being served. `writable` and `deletable` are what clients may do."""

    store: Store
    writable: bool = True
    deletable: bool = True
    holdings: Holdings = field(init=False)
    uploads: Uploads = field(init=False)
    _turned: float = field(init=False, default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.holdings = Holdings(self.store)
        self.uploads = Uploads(self.store)

    def tidy(self) -> None:
        """End uploads that nobody goes on with; let go of what nobody asked for lately, so that prune may have it."""
        self.uploads.expire()
        if time.monotonic() - self._turned > TURN:
            self._turned = time.monotonic()
            self.store.session.turn()

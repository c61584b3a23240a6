"""Layers that are known but not here: each is fetched when something first needs its files, or never."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from builder.errors import BuildError, Cancelled
from layers import Chain, DiffID

if TYPE_CHECKING:
    from layers import Store

Bring = Callable[[], None]
JOBS = 6


class Unfetched(BuildError):
    """Layers are needed that nobody may fetch."""


class Supply:
    """What one build can fetch; nothing at all if it is `sealed`. Threads may share it."""

    def __init__(self, store: Store, stop: threading.Event, *, sealed: bool = False) -> None:
        self._sealed = sealed
        self._store = store
        self._stop = stop
        self._bring: dict[DiffID, Bring] = {}
        self._turns: dict[Bring, threading.Lock] = {}
        self._turn = threading.Lock()

    def offer(self, diff_ids: Iterable[DiffID], bring: Bring) -> None:
        """Layers that `bring` would fetch, all at once; whatever is here already is never asked for."""
        with self._turn:
            self._turns.setdefault(bring, threading.Lock())
            for diff_id in diff_ids:
                self._bring.setdefault(diff_id, bring)

    def need(self, *chains: Chain) -> None:
        """Have the layers of these here. Raises what fetching them raises, Cancelled, Unfetched."""
        if not self._bring:
            return
        wanted = dict.fromkeys(diff_id for chain in chains for diff_id in chain.diff_ids if self._lacks(diff_id))
        if not wanted:
            return
        if self._sealed:
            raise Unfetched("layers of a shared cache are needed")
        from layers.moving.crew import side_by_side
        from layers.tar.pipeline import Stopped

        over = threading.Event()
        try:
            side_by_side(self._fetch, list(wanted), jobs=JOBS, over=over, name="pybuild-supply", stop=self._stop)
        except Stopped as error:
            raise Cancelled("the build was stopped") from error

    def _lacks(self, diff_id: DiffID) -> bool:
        return diff_id in self._bring and not self._store.here(diff_id)

    def _fetch(self, diff_id: DiffID) -> None:
        bring = self._bring[diff_id]
        with self._turns[bring]:  # several layers may come with one image
            if self._lacks(diff_id):
                bring()

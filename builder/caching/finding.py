"""What is known of a step before it runs: its inputs, and the result that the store or a shared cache has of them."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from builder.caching import cache
from builder.caching.facts import Facts
from builder.caching.looking import Looked, Looking
from builder.caching.policy import expiry, refusal
from builder.errors import BuildError
from builder.graph import Run, Step
from builder.sharing.supply import Supply
from layers import Chain
from layers.quick import dataclass

if TYPE_CHECKING:
    from builder.caching.cache import Kept
    from builder.contexts.contexts import Contexts
    from builder.request import BuildRequest
    from builder.sharing.known import Imports
    from layers import Record, Store


class Vanished(BuildError):
    """A result that was there a moment ago has been pruned: a build has to look once more."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the caches have of a step, None for nothing, and why that may not be used, "" if it may."""

    kept: Kept | None
    refused: str

    @property
    def hit(self) -> Kept | None:
        """The result, if it counts."""
        return None if self.refused else self.kept


class Finder:
    """Finds for the steps of one graph; threads may share it.

    `keys` of steps, digests that they `read` of the context, cache `mounts` by key, and `since` when there are results
    (seconds since the epoch) are remembered for whoever writes about the build afterwards. `fetched` is told of the
    bytes of a layer that a shared cache gives for a step; `sealed`: nothing is fetched.
    """

    def __init__(
        self,
        store: Store,
        request: BuildRequest,
        context: Contexts,
        imports: Imports,
        *,
        stop: threading.Event | None = None,
        sealed: bool = False,
        fetched: Callable[[Step, int], None] = lambda _, __: None,
    ) -> None:
        self.imports = imports
        self.supply = Supply(store, stop or threading.Event(), sealed=sealed)
        self.facts = Facts(store, self.supply, imports.facts)
        self.looking = Looking(store, request, context, self.facts)
        self.keys: dict[int, str] = {}
        self.read: dict[int, list[str]] = {}
        self.mounts: dict[str, str] = {}
        self.since: dict[int, float] = {}
        self.taken: list[tuple[Step, Looked, Kept]] = []
        """What shared caches had."""
        self._store = store
        self._request = request
        self._fetched = fetched
        self._choosy = bool(request.no_cache or request.no_cache_filter or request.always)

    def look(self, step: Step, chains: Mapping[int, Chain], created: str) -> Looked:
        """The inputs of a step. Raises as `Looking.look`."""
        looked = self.looking.look(step, chains, created)
        self.keys[step.id] = looked.key.text
        if looked.shown and isinstance(step.op, Run):
            from builder.ops.attach import cache_keys

            self.mounts.update(cache_keys(step.op, looked.shown))
        if digests := looked.of_context(step.op):
            self.read[step.id] = digests
        return looked

    def find(self, step: Step, looked: Looked, later: list[Record] | None = None, *, since: float = math.inf) -> Found:
        """What is known of a step's result. What is added to `later` has to be held before it is used.

        What was made `since` then (seconds since the epoch) counts even for a step that shall be made anew: it was.
        """
        if later is None:
            kept = cache.find(self._store, looked.key)
        else:
            record = self._store.records.peek(looked.key.text)
            kept = None if record is None else cache.kept(record)
            later += [] if record is None else [record]
        kept = kept or self._shared(step, looked)
        refused = "" if kept is not None and kept.made >= since else self.refused(step)
        if kept is not None and not refused:
            refused = expiry(self._request, step, time.time() - kept.made)
            if not refused:
                self.since[step.id] = kept.made
        return Found(kept, refused)

    def refused(self, step: Step) -> str:
        """Why nothing that is known counts for a step; "" if it does."""
        return refusal(self._request, step) if self._choosy else ""

    def _shared(self, step: Step, looked: Looked) -> Kept | None:
        """What a shared cache has of a step; its layer is fetched when somebody needs it."""
        if (found := self.imports.find(looked.key.text)) is None:
            return None
        result, source = found
        place = step.span.place
        kept = cache.Kept(result.diff_id, result.size, result.created, result.seconds, None, place, result.since)

        def bring() -> None:
            source.fetch(self._store, result.diff_id, lambda count: self._fetched(step, count))

        self.supply.offer((result.diff_id,), bring)
        self.taken.append((step, looked, kept))
        return kept

"""What a build would do, without doing it: which steps the cache has, why it lacks the others, how long those took.

Nothing is fetched but documents of base images, nothing is run, nothing is kept.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Literal

from builder.caching import cache
from builder.caching.explain import Change, Explanation, explain
from builder.caching.finding import Finder
from builder.caching.former import Former
from builder.caching.looking import Looked, home
from builder.graph import Base, BuildGraph, Fetch, Step, origins
from builder.sharing.supply import Unfetched
from builder.times import time_of
from layers import Chain
from layers.quick import dataclass

if TYPE_CHECKING:
    from builder.road import Road


@dataclass(frozen=True, slots=True)
class Expected:
    """What would become of a step: `hit`, `miss`, or `fetch` for an image or a file that is elsewhere.

    What was fetched once from a URL or a repository counts as a hit: whether it has changed there is not asked.

    `seconds`: what it took last time, None if it never ran here. `changes`: every input that differs.
    """

    step: Step
    state: Literal["hit", "miss", "fetch"]
    reason: str = ""
    changes: tuple[Change, ...] = ()
    seconds: float | None = None


def forecast(road: Road) -> list[Expected]:
    """What would become of every step of every platform. Raises what planning and looking at files raise."""
    with road.bench.store.lease():
        try:
            road.imports = road.imported()
            return [found for graph in road.graphs() for found in Forecast(road).of(graph)]
        finally:
            road.contexts.close()


class Forecast:
    """One graph."""

    def __init__(self, road: Road) -> None:
        self._bench = road.bench
        self._request = road.request
        self._store = road.bench.store
        self._finder = Finder(self._store, road.request, road.contexts, road.imports, sealed=True)
        self._looking = self._finder.looking
        self._former = Former(self._store, home(road.request))
        self._chains: dict[int, Chain] = {}
        self._created: dict[int, str] = {}
        self._absent: set[int] = set()
        """Bases whose layers are elsewhere: their chains are known, their files are not."""
        self._steps: dict[int, Step] = {}

    def of(self, graph: BuildGraph) -> list[Expected]:
        """Its steps, in their order."""
        self._steps = {step.id: step for step in graph.steps}
        return [self._step(step) for step in graph.steps]

    def _step(self, step: Step) -> Expected:
        if isinstance(step.op, Base):
            image = step.op.image
            self._chains[step.id] = image.chain if image is not None else Chain(())
            self._created[step.id] = time_of(self._request, image)
            if image is None or image.local:
                return Expected(step, "hit")
            self._absent.add(step.id)
            return Expected(step, "fetch", "it is not in the store")
        if isinstance(step.op, Fetch):
            from builder.sources.fetch import Fetcher

            request = self._request
            here = Fetcher(self._bench, request.secrets, request.agents, threading.Event()).kept(step.op)
            if here is None:
                return Expected(step, "fetch", "it is not in the store")
            self._chains[step.id] = Chain((here,))
            return Expected(step, "hit")
        assert step.base is not None
        created = self._created[step.id] = self._created[step.base]  # unless it is known better
        unread = next((one for one in origins(step.op) if one in self._absent or one not in self._chains), None)
        if unread is not None:
            return self._over_unknown(step, None, self._steps[unread])
        if step.base not in self._chains:
            looked = self._looking.look(step, {**self._chains, step.base: Chain(())}, created)
            return self._over_unknown(step, looked, self._steps[step.base])
        try:
            looked = self._finder.look(step, self._chains, created)
        except Unfetched:
            return self._over_unknown(step, None, self._steps[origins(step.op)[0]])
        found = self._finder.find(step, looked)
        seconds = found.kept.seconds if found.kept is not None else None
        if (kept := found.hit) is not None:
            self._chains[step.id] = looked.below.push(kept.diff_id)
            self._created[step.id] = kept.created
            return Expected(step, "hit", seconds=seconds)
        if found.refused:
            return Expected(step, "miss", found.refused, seconds=seconds)
        try:
            return self._missed(step, self._looking.whole(step, looked, self._chains))
        except Unfetched:
            return self._missed(step, looked)

    def _over_unknown(self, step: Step, looked: Looked | None, unknown: Step) -> Expected:
        """A step that stands on what is not there yet, or reads it (not `looked`); its own changes can be said."""
        below = f"{unknown.title} {'is fetched first' if isinstance(unknown.op, Base | Fetch) else 'runs again'}"
        if refused := self._finder.refused(step):
            return Expected(step, "miss", refused, seconds=self._explained(step, None, below).seconds)
        return self._missed(step, looked, below)

    def _missed(self, step: Step, looked: Looked | None, below: str = "") -> Expected:
        found = self._explained(step, looked, below)
        return Expected(step, "miss", found.reason, found.changes, found.seconds)

    def _explained(self, step: Step, looked: Looked | None, below: str) -> Explanation:
        where = self._looking.where(step, self._steps)
        key = cache.Key("", {"kind": KINDS[type(step.op).__name__]}) if looked is None else looked.key
        lists = looked.lists() if looked is not None else {}
        return explain(self._former, where, key, lists, below=below)


KINDS = {"Run": "run", "Mkdir": "mkdir", "Copy": "copy"}

"""One step, done: its inputs looked up, its result found in a cache, or made and kept."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from builder.caching import cache, inputs
from builder.caching.former import Former
from builder.caching.looking import Looked, home
from builder.errors import BuildError, Cancelled, ContextError
from builder.events import StepStarted, StepWaiting, Warned
from builder.executing.results import Made, Results
from builder.graph import Base, Fetch, Step
from builder.sharing.known import CacheBroken
from layers import NewLayer

if TYPE_CHECKING:
    from builder.caching.cache import Kept
    from builder.caching.finding import Finder, Found
    from builder.executing.arrivals import Arrivals
    from builder.executing.maker import LayerMaker
    from builder.request import BuildRequest
    from layers import Chain, Store
    from runner import Usage

TELL_SECONDS = 0.2
"""For what takes less nobody is told that it is waited for."""


class Doing:
    """Does the `steps` of one graph; threads share it. `seen` is what was found out about some before.

    `aside`: nobody shall wait for what is made here, as it is not kept, or a person may look at what failed for hours.
    """

    def __init__(
        self,
        request: BuildRequest,
        store: Store,
        finder: Finder,
        results: Results,
        *,
        steps: Mapping[int, Step],
        seen: dict[int, tuple[Looked, Found]],
        arrivals: Arrivals,
        layers: LayerMaker,
        aside: bool,
        stop: threading.Event,
    ) -> None:
        self._request = request
        self._store = store
        self._finder = finder
        self._results = results
        self._steps = steps
        self._seen = seen
        self._arrivals = arrivals
        self._layers = layers
        self._turns = store.turns
        self._aside = aside
        self._stop = stop
        self._formers = Former(store, home(request))

    def do(self, step: Step) -> None:
        """Do a step; errors are told before they are raised."""
        began = time.monotonic()
        try:
            match step.op:
                case Base(image) as op:
                    with self._turns.take(f"image {image and image.config.digest}", self._patience(step)):
                        self._arrivals.image(step, op)
                case Fetch(source) as op:
                    with self._turns.take(f"source {source}", self._patience(step)):
                        self._arrivals.files(step, op)
                case _:
                    self._result(step, began)
        except (Cancelled, CacheBroken):
            raise
        except ContextError as error:
            self._results.failed(step, error, began)
            if error.span is None:
                raise ContextError(error.what, span=step.span, help=error.help) from error.__cause__
            raise
        except BuildError as error:
            self._results.failed(step, error, began)
            raise
        except Exception as error:
            self._results.failed(step, error, began)
            error.add_note(f"{step.span}: {step.title}")
            raise

    def adopt(self) -> None:
        """Keep what shared caches had of those steps whose layers were fetched after all; their size is known now."""
        made, store = self._results.made, self._store
        for step, looked, kept in self._finder.taken:
            if self._results.reports[step.id].status == "cached" and store.here(kept.diff_id):
                result = Made(made[step.id].chain, made[step.id].created, store.blobs.size(kept.diff_id))
                self._keep(step, looked, result, seconds=kept.seconds, usage=None)

    def _result(self, step: Step, began: float) -> None:
        """Find or make what a step has for its result."""
        finder, results = self._finder, self._results
        chains = results.chains(step)
        if (known := self._seen.pop(step.id, None)) is not None:
            looked, found = known
        else:
            looked = finder.look(step, chains, results.below(step))
            found = finder.find(step, looked)
        if found.hit is not None:
            results.hit(step, looked, found.hit)
            return
        if self._aside:
            self._make(step, looked, found, chains, began)
            return
        asked = time.time()
        anew = bool(finder.refused(step))
        with self._turns.take(looked.key.text, self._patience(step), anew=anew) as waited:
            if waited:
                began = time.monotonic()
            found = finder.find(step, looked, since=asked if waited else math.inf)  # who had it may have just been done
            if found.hit is not None:
                results.hit(step, looked, found.hit)
            else:
                self._make(step, looked, found, chains, began)

    def _patience(self, step: Step) -> Callable[[int], None]:
        """What to do again and again while another process is at a step."""
        who, since = 0, math.inf

        def pause(process: int) -> None:
            nonlocal who, since
            self._pause()
            now = time.monotonic()
            if process != who:
                who, since = process, now
            elif process and now - since >= TELL_SECONDS:
                since = math.inf
                self._results.emit(StepWaiting(step.id, process))

        return pause

    def _pause(self) -> None:
        if self._stop.is_set():
            raise Cancelled("the build was stopped")

    def _make(self, step: Step, looked: Looked, found: Found, chains: Mapping[int, Chain], began: float) -> None:
        """Make what no cache has."""
        finder, results = self._finder, self._results
        self._pause()
        looked = finder.looking.whole(step, looked, chains)
        reason, changes = self._why(step, looked, found.refused)
        results.emit(StepStarted(step.id, reason, changes))
        finder.supply.need(*chains.values())
        former = self._former(found.kept)
        layer, usage = self._layers.make(step, looked, None if former is None else former.layer)
        seconds = time.monotonic() - began
        if former is not None and former.diff_id == layer.diff_id and self._request.clock:
            created = former.created
        else:
            created = results.created(step, partial(self._store.toc, layer.diff_id))
        made = Made(looked.below.push(layer.diff_id), created, layer.size)
        self._keep(step, looked, made, seconds=seconds, usage=usage)
        if usage is not None and usage.oom_kills:
            what = "memory ran out and the kernel killed a process, though the command ended well"
            results.emit(Warned(f"{what}: raise --memory", "", step.span, step.id))
        results.finished(step, seconds, usage, reason)

    def _former(self, kept: Kept | None) -> Kept | None:
        """A result that a step would rather have again than the same with other times."""
        return kept if kept is not None and not self._request.no_cache and self._store.here(kept.diff_id) else None

    def _why(self, step: Step, looked: Looked, refused: str) -> tuple[str, tuple[str, ...]]:
        """Why a step is made anew, if anybody wants to know, and all that has changed."""
        if refused or not self._request.explain:
            return refused, ()
        from builder.caching.explain import explain

        assert step.base is not None
        below = self._results.reports[step.base]
        again = below.status == "ran" and not isinstance(self._steps[step.base].op, Base)
        found = explain(
            self._formers,
            self._finder.looking.where(step, self._steps),
            looked.key,
            looked.lists(),
            below=f"{below.title} ran again" if again else "",  # then its result is no news
        )
        return found.reason, tuple(map(str, found.changes))

    def _keep(self, step: Step, looked: Looked, made: Made, *, seconds: float, usage: Usage | None) -> None:
        self._results.made[step.id] = made
        self._finder.since.setdefault(step.id, time.time())
        if self._request.apart:
            return
        where = self._finder.looking.where(step, self._steps)
        layer = NewLayer(made.chain.diff_ids[-1], made.size)
        cache.keep(
            self._store,
            looked.key,
            layer,
            where,
            created=made.created,
            seconds=seconds,
            usage=usage,
            line=step.span.place,
        )
        if selections := looked.selections():
            inputs.keep(self._store, where, selections, layer.diff_id)

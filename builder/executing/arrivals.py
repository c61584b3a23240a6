"""Steps whose results come from elsewhere: the layers of images, files of the web and of repositories."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from builder.events import StepProgress, StepStarted
from builder.executing.results import Made, Results
from builder.graph import Base, BaseImage, Fetch, Step
from builder.times import time_of
from layers import Chain

if TYPE_CHECKING:
    from builder.caching.finding import Finder
    from builder.request import BuildRequest
    from builder.workbench import Workbench


class Arrivals:
    """Brings them, unless they are here; `stop` ends it."""

    def __init__(
        self, request: BuildRequest, bench: Workbench, finder: Finder, results: Results, stop: threading.Event
    ) -> None:
        self._request = request
        self._bench = bench
        self._finder = finder
        self._results = results
        self._stop = stop

    def image(self, step: Step, op: Base) -> None:
        """The layers of an image, fetched if they are elsewhere."""
        results, image = self._results, op.image
        if image is None:
            results.cached(step, Made(Chain(()), time_of(self._request, None)))
            return
        began = time.monotonic()
        self._bench.store.session.claim(*image.chain.diff_ids)
        made = Made(image.chain, time_of(self._request, image))
        if image.local or self._came(image):
            results.cached(step, made)
            return
        from builder.ops.base import fetch

        bring = partial(fetch, self._bench, image, results.emit, step.id, self._stop)
        if self._finder.imports.sources:  # then perhaps nobody needs its files
            self._finder.supply.offer(image.chain.diff_ids, bring)
            results.cached(step, made)
            return
        results.emit(StepStarted(step.id))
        bring()
        results.made[step.id] = made
        results.finished(step, time.monotonic() - began)

    def _came(self, image: BaseImage) -> bool:
        """Whether an image is here after all, under another name, or as another build has brought it; named then."""
        store, found = self._bench.store, image.manifest.descriptor
        here = store.repository()
        if not (here.has(found) and all(map(store.here, image.chain.diff_ids))):
            return False
        if image.layout is None:
            here.tag(str(image.reference), found)
        return True

    def files(self, step: Step, op: Fetch) -> None:
        """Files as a layer of their own, fetched if they are not here or have changed."""
        from builder.sources.fetch import Fetcher

        results = self._results
        began, started, came = time.monotonic(), False, 0

        def begin() -> None:
            nonlocal started
            started = True
            results.emit(StepStarted(step.id))

        def progress(count: int) -> None:
            nonlocal came
            came += count
            results.emit(StepProgress(step.id, "fetched", came))

        wanted = self._request
        diff_id = Fetcher(self._bench, wanted.secrets, wanted.agents, self._stop, begin, progress).layer(op)
        made = Made(Chain((diff_id,)), time_of(wanted, None), self._bench.store.blobs.size(diff_id))
        if not started:
            results.cached(step, made)
            return
        results.made[step.id] = made
        results.finished(step, time.monotonic() - began)

"""Runs the graphs of all platforms: every step as soon as what it needs is there, what is known from the cache at once.

Steps run in threads; what one of them raises stops those that have not begun, is told, and is raised again when all
have ended.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from builder import trail
from builder.caching import cache
from builder.caching.finding import Finder, Vanished
from builder.errors import Cancelled
from builder.events import Event, StepProgress
from builder.executing.arrivals import Arrivals
from builder.executing.doing import Doing
from builder.executing.glance import Glance
from builder.executing.looks import LOOK_SECONDS, Looks
from builder.executing.maker import LayerMaker
from builder.executing.results import Results
from builder.executing.threads import Threads
from builder.graph import Outcome, Run, Step
from builder.order import Order

if TYPE_CHECKING:
    from builder.contexts.contexts import Contexts
    from builder.request import BuildRequest
    from builder.sharing.known import Imports
    from builder.workbench import Workbench
    from layers import Platform
    from runner import Emulator

LEAST_JOBS = 4
"""Steps at the same time where nobody says how many: most wait for the disk or the network now and then."""


def jobs(request: BuildRequest) -> int:
    """How many steps may be done at the same time."""
    return request.jobs or max(LEAST_JOBS, 2 * (os.cpu_count() or 1))


class Execution:
    """The graphs of one build being executed."""

    def __init__(
        self,
        request: BuildRequest,
        bench: Workbench,
        outcomes: Iterable[Outcome],
        *,
        context: Contexts,
        emit: Callable[[Event], None],
        stop: threading.Event,
        imports: Imports,
        emulators: Mapping[Platform, Emulator] | None = None,
    ) -> None:
        self.stop = stop
        self._halt = threading.Event()  # stops running commands when a step elsewhere failed, or the user says so
        self._over = threading.Event()
        self._store = bench.store
        self._jobs = jobs(request)
        self.steps: dict[int, Step] = {}
        self._waiting: dict[int, Step] = {}
        self._failed: tuple[int, BaseException] | None = None
        """The step and its error that ended it all."""

        def fetched(step: Step, count: int) -> None:
            emit(StepProgress(step.id, "fetched", count))

        self.finder = Finder(bench.store, request, context, imports, stop=self._halt, fetched=fetched)
        self._results = Results(request, self.finder, emit)
        self.made = self._results.made
        self.reports = self._results.reports
        self._looks = Looks(bench.debugger, self._halt)
        self._layers = LayerMaker(
            request,
            bench,
            context=context,
            imports=imports,
            emulators=emulators or {},
            own=frozenset(line.step for outcome in outcomes for line in outcome.lines),
            more=self._more,
            looks=self._looks,
            emit=emit,
            stop=self._halt,
        )
        arrivals = Arrivals(request, bench, self.finder, self._results, self._halt)
        self._glance = Glance(bench.store, self.finder, self._results, arrivals)
        self._doing = Doing(
            request,
            bench.store,
            self.finder,
            self._results,
            steps=self.steps,
            seen=self._glance.seen,
            arrivals=arrivals,
            layers=self._layers,
            aside=request.apart or bench.debugger is not None,
            stop=self._halt,
        )

    def run(self, steps: Iterable[Step]) -> None:
        """Do every step. Raises the first error, Cancelled if `stop` was set."""
        self.steps.update((step.id, step) for step in steps)
        self._waiting = dict(self.steps)
        threads = Threads(self._doing.do, self._jobs)
        try:
            with self._watched():
                try:
                    self._schedule(threads)
                finally:
                    self._looks.close()
                    threads.close()
        finally:
            self._layers.close()
        for step in self._waiting.values():
            self._results.skipped(step)
        trail.keep(self._store, self.steps.values(), self.made, self.reports, self._failed)
        if self._results.moves and self._store.db.barred is None:
            cache.move(self._store, self._results.moves)
        if self._failed is not None:
            raise self._failed[1]
        if self.stop.is_set():
            raise Cancelled("the build was stopped")

    def adopt(self) -> None:
        """Keep what shared caches had of those steps whose layers were fetched after all."""
        self._doing.adopt()

    def _schedule(self, threads: Threads) -> None:
        """Begin each step that needs nothing any more, until all are done or one has failed."""
        order = Order(self._waiting.values())
        while (order.ready and self._failed is None) or threads.running:
            while order.ready and self._failed is None and not self.stop.is_set():
                step = order.ready.popleft()
                del self._waiting[step.id]
                if self._glance.finds(step, alone=not (order.ready or threads.running)):
                    order.done(step)
                else:
                    self._hold()
                    threads.begin(step)
            self._hold()
            if not threads.running:
                break
            for step, error in threads.ended(LOOK_SECONDS):
                if error is None:
                    order.done(step)
                elif self._failed is None or isinstance(self._failed[1], Cancelled):
                    self._failed = step.id, error
                    self._halt.set()
            self._looks.show()

    def _hold(self) -> None:
        """Claim what was found at a glance. Raises Vanished."""
        try:
            self._glance.hold()
        except Vanished:
            self._halt.set()
            raise

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Meanwhile a thread passes the user's wish to stop on to what runs."""

        def watch() -> None:
            while not self._over.wait(0.05):
                if self.stop.is_set():
                    self._halt.set()
                    return

        watcher = threading.Thread(target=watch, daemon=True, name="pybuild-stop")
        watcher.start()
        try:
            yield
        finally:
            self._over.set()
            watcher.join()

    def _more(self) -> int:
        """RUNs that have not begun."""
        return sum(isinstance(step.op, Run) for step in list(self._waiting.values()))

"""Runs the graph: every step as soon as what it needs is there, what is known from the cache at once.

Steps run in threads; what one of them raises stops those that have not begun, is told, and is raised again when all
have ended.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from queue import Queue
from typing import TYPE_CHECKING

from builder import trail
from builder.build import StepReport
from builder.caching import cache, inputs
from builder.caching.cutoff import settled
from builder.caching.finding import Finder, Found, Vanished
from builder.caching.former import Former
from builder.caching.looking import Looked, home
from builder.errors import BuildError, Cancelled, ContextError, StepFailed
from builder.events import Event, StepCached, StepFinished, StepOutput, StepProgress, StepStarted, Warned
from builder.events import StepFailed as FailedEvent
from builder.graph import Base, Copy, Fetch, Mkdir, Op, Outcome, Run, Step, origins
from builder.networks.building import Building
from builder.order import Order
from builder.sharing.known import CacheBroken, Imports
from layers import Chain, LayerError, NewLayer
from layers.home.caches import Renewal
from layers.quick import dataclass

if TYPE_CHECKING:
    from pathlib import Path

    from builder.caching.cache import Kept
    from builder.contexts import Contexts
    from builder.request import BuildRequest
    from builder.workbench import Workbench
    from layers import Digest, Platform, Record
    from runner import Emulator, Exit, Sandbox, Usage


LOOK_SECONDS = 0.1
"""How often Python looks at signals: one that comes just before a wait without end is not seen."""
LEAST_JOBS = 4
"""Steps at the same time where nobody says how many: most wait for the disk or the network now and then."""


@dataclass(frozen=True, slots=True)
class Made:
    """The result of a step: the chain that ends in its layer, and when that was made (RFC 3339)."""

    chain: Chain
    created: str
    size: int = 0


class Execution:
    """One graph being executed."""

    def __init__(
        self,
        request: BuildRequest,
        bench: Workbench,
        outcome: Outcome,
        *,
        context: Contexts,
        emit: Callable[[Event], None],
        stop: threading.Event,
        imports: Imports,
        emulators: Mapping[Platform, Emulator] | None = None,
    ) -> None:
        self._halt = threading.Event()  # stops running commands when a step elsewhere failed, or the user says so
        self.request = request
        self.bench = bench
        self.context = context
        self.emit = emit
        self.stop = stop
        self.made: dict[int, Made] = {}
        self.reports: dict[int, StepReport] = {}
        self._emulators = emulators or {}
        self._waiting: dict[int, Step] = {}
        self._ran = False
        self._warned = False
        self._leaving = frozenset(line.step for line in outcome.lines)
        """Steps whose layers are the image's own."""
        self._renewal = Renewal()
        self._networks = Building(bench.store, lambda sentence: emit(Warned(sentence)))
        self._filtered = {name.lower() for name in request.no_cache_filter}
        self.finder = Finder(bench.store, request, context, imports, stop=self._halt, fetched=self._fetched)
        self.steps: dict[int, Step] = {}
        self._gone = threading.Event()  # nobody looks at failed commands any more
        self._looks: Queue[tuple[Step, Sandbox, Exit, threading.Event]] = Queue()
        self._formers = Former(bench.store, home(request))
        self._unheld: list[Record] = []
        """What was found at once, and is not claimed yet."""
        self._moves: dict[str, str] = {}
        """Lines on which steps stand now, by key."""

    def run(self, steps: Iterable[Step]) -> None:
        """Do every step. Raises the first error, Cancelled if `stop` was set."""
        waiting = self._waiting = {step.id: step for step in steps}
        self.steps = dict(waiting)
        order = Order(waiting.values())
        running: dict[Future[None], Step] = {}
        failure: BaseException | None = None
        failed: tuple[int, BaseException] | None = None
        jobs = self.request.jobs or max(LEAST_JOBS, 2 * (os.cpu_count() or 1))
        watcher = threading.Thread(target=self._watch, daemon=True, name="pybuild-stop")
        self._over = threading.Event()
        watcher.start()
        try:
            with ThreadPoolExecutor(max(jobs, 1), thread_name_prefix="pybuild-step") as pool, ExitStack() as leaving:
                leaving.callback(self._gone.set)
                while (order.ready and failure is None) or running:
                    while order.ready and failure is None and not self.stop.is_set():
                        step = order.ready.popleft()
                        del waiting[step.id]
                        if self._at_once(step):
                            order.done(step)
                        else:
                            self._hold()
                            running[pool.submit(self._do, step)] = step
                    self._hold()
                    if not running:
                        break
                    done, _ = wait(running, LOOK_SECONDS, return_when=FIRST_COMPLETED)
                    self._show()
                    for future in done:
                        step = running.pop(future)
                        error = future.exception()
                        if error is None:
                            order.done(step)
                        elif failure is None or isinstance(failure, Cancelled):
                            failure, failed = error, (step.id, error)
                            self._halt.set()
        finally:
            self._over.set()
            watcher.join()
            if self._ran:
                self.bench.runtime().rest()
            self._networks.close()
        for step in waiting.values():
            self.reports[step.id] = StepReport(step.id, step.title, step.stage, step.span, "skipped")
        trail.keep(self.bench.store, self.steps.values(), self.made, self.reports, failed)
        if self._moves and self.bench.store.db.barred is None:
            cache.move(self.bench.store, self._moves)
        if failure is not None:
            raise failure
        if self.stop.is_set():
            raise Cancelled("the build was stopped")

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            if self.stop.is_set():
                self._halt.set()
                return

    # -- one step --------------------------------------------------------------------------------

    def _at_once(self, step: Step) -> bool:
        """Find what needs no look at files and is cached, without a thread for it."""
        if self._reads(step.op) or self.finder.refused(step):
            return False
        if isinstance(step.op, Base):
            if step.op.image is not None and not step.op.image.local:
                return False
            self._base(step, step.op)
            return True
        try:
            looked = self.finder.look(step, self._chains(step))
            return self._hit(step, looked, self.finder.find(step, looked, self._unheld))
        except (LayerError, BuildError):
            return False  # a thread meets it once more, and tells

    def _reads(self, op: Op) -> bool:
        """True if files have to be looked at before the key is known."""
        if isinstance(op, Copy):
            needed = origins(op)
            return op.of_context or len(needed) != 1 or not self.finder.facts.has(self.made[needed[0]].chain, op)
        return isinstance(op, Fetch) or (isinstance(op, Run) and bool(op.mounts))

    def _hold(self) -> None:
        """Claim what was found at once, all together: a transaction for each would take longer. Raises Vanished."""
        found, self._unheld = self._unheld, []
        if found and not self.bench.store.records.hold(found):
            self._halt.set()
            raise Vanished("results that were there have been removed")

    def _hit(self, step: Step, looked: Looked, found: Found) -> bool:
        """Take what was found, if it counts."""
        if (kept := found.hit) is None:
            return False
        created = kept.created if self.request.epoch is None else self._now()
        self.made[step.id] = Made(looked.below.push(kept.diff_id), created, kept.size)
        if kept.line != step.span.place:
            self._moves[looked.key.text] = step.span.place
        self.emit(StepCached(step.id, kept.seconds, kept.usage))
        self._report(step, "cached", kept.seconds, kept.usage)
        return True

    def adopt(self) -> None:
        """Keep what shared caches had of those steps whose layers were fetched after all; their size is known now."""
        store = self.bench.store
        for step, looked, kept in self.finder.taken:
            if self.reports[step.id].status == "cached" and store.here(kept.diff_id):
                result = Made(self.made[step.id].chain, self.made[step.id].created, store.blobs.size(kept.diff_id))
                self._keep(step, looked, result, seconds=kept.seconds, usage=None)

    def _fetched(self, step: Step, count: int) -> None:
        self.emit(StepProgress(step.id, "fetched", count))

    def _chains(self, step: Step) -> dict[int, Chain]:
        return {id: self.made[id].chain for id in step.needs}

    def _do(self, step: Step) -> None:
        """Do one step, or find it in the cache; errors are told before they are raised."""
        began = time.monotonic()
        try:
            if isinstance(step.op, Base):
                self._base(step, step.op)
                return
            if isinstance(step.op, Fetch):
                self._fetch(step, step.op)
                return
            looked = self.finder.look(step, self._chains(step))
            found = self.finder.find(step, looked)
            if self._hit(step, looked, found):
                return
            if self._halt.is_set():
                raise Cancelled("the build was stopped")
            looked = self.finder.looking.whole(step, looked, self._chains(step))
            reason, changes = self._why(step, looked, found.refused)
            self.emit(StepStarted(step.id, reason, changes))
            self.finder.supply.need(*self._chains(step).values())
            former = self._former(found.kept)
            layer, usage = self._work(step, looked, None if former is None else former.layer)
            seconds = time.monotonic() - began
            same = former is not None and former.diff_id == layer.diff_id and self.request.epoch is None
            created = former.created if same and former is not None else self._now()
            result = Made(looked.below.push(layer.diff_id), created, layer.size)
            self._keep(step, looked, result, seconds=seconds, usage=usage)
            self._report(step, "ran", seconds, usage, reason)
            if usage is not None and usage.oom_kills:
                what = "memory ran out and the kernel killed a process, though the command ended well"
                self.emit(Warned(f"{what}: raise --memory", "", step.span, step.id))
            self.emit(StepFinished(step.id, seconds, usage, layer.size, layer.diff_id))
        except (Cancelled, CacheBroken):
            raise
        except StepFailed as error:
            self._tell(step, error, began)
            raise
        except ContextError as error:
            self._tell(step, error, began)
            if error.span is None:
                raise ContextError(error.what, span=step.span, help=error.help) from error.__cause__
            raise
        except BuildError as error:
            self._tell(step, error, began)
            raise
        except Exception as error:
            self._tell(step, error, began)
            error.add_note(f"{step.span}: {step.title}")
            raise

    def _base(self, step: Step, op: Base) -> None:
        """The layers of an image, fetched if they are elsewhere."""
        created = self._now()
        if op.image is None:
            self.made[step.id] = Made(Chain(()), created)
            self.emit(StepCached(step.id))
            self._report(step, "cached", 0.0, None)
            return
        began = time.monotonic()
        self.bench.store.session.claim(*op.image.chain.diff_ids)
        if op.image.local:
            self.made[step.id] = Made(op.image.chain, op.image.config.created or created)
            self.emit(StepCached(step.id))
            self._report(step, "cached", 0.0, None)
            return
        from builder.ops.base import fetch

        if self.finder.imports.sources:  # then perhaps nobody needs its files
            image = op.image
            bring = partial(fetch, self.bench, image, self.emit, step.id, self._halt)
            self.finder.supply.offer(image.chain.diff_ids, bring)
            self.made[step.id] = Made(image.chain, image.config.created or created)
            self.emit(StepCached(step.id))
            self._report(step, "cached", 0.0, None)
            return
        self.emit(StepStarted(step.id))
        fetch(self.bench, op.image, self.emit, step.id, self._halt)
        self.made[step.id] = Made(op.image.chain, op.image.config.created or created)
        seconds = time.monotonic() - began
        self._report(step, "ran", seconds, None)
        self.emit(StepFinished(step.id, seconds))

    def _fetch(self, step: Step, op: Fetch) -> None:
        """Files from elsewhere as a layer of their own, fetched if they are not here or have changed."""
        from builder.sources.fetch import Fetcher

        began, started, came = time.monotonic(), [], 0

        def begin() -> None:
            started.append(True)
            self.emit(StepStarted(step.id))

        def progress(count: int) -> None:
            nonlocal came
            came += count
            self._fetched(step, came)

        wanted = self.request
        fetcher = Fetcher(self.bench, wanted.secrets, wanted.agents, self._halt, begin, progress)
        diff_id = fetcher.layer(op)
        size = self.bench.store.blobs.size(diff_id)
        self.made[step.id] = Made(Chain((diff_id,)), self._now(), size)
        seconds = time.monotonic() - began
        self._report(step, "ran" if started else "cached", seconds, None)
        self.emit(StepFinished(step.id, seconds, None, size, diff_id) if started else StepCached(step.id))

    def _former(self, kept: Kept | None) -> Kept | None:
        """A result that a step would rather have again than the same with other times."""
        return kept if kept is not None and not self.request.no_cache and self.bench.store.here(kept.diff_id) else None

    def _why(self, step: Step, looked: Looked, refused: str) -> tuple[str, tuple[str, ...]]:
        """Why a step is made anew, if anybody wants to know, and all that has changed."""
        if refused or not self.request.explain:
            return refused, ()
        from builder.caching.explain import explain

        assert step.base is not None
        where = self.finder.looking.where(step, self.steps)
        found = explain(self._formers, where, looked.key, looked.lists(), below=self._moved(step.base))
        return found.reason, tuple(map(str, found.changes))

    def _moved(self, base: int) -> str:
        """That the step below was made anew, if it was: then its result is no news."""
        report = self.reports[base]
        return (
            f"{report.title} ran again" if report.status == "ran" and not isinstance(self.steps[base].op, Base) else ""
        )

    def _keep(self, step: Step, looked: Looked, result: Made, *, seconds: float, usage: Usage | None) -> None:
        self.made[step.id] = result
        self.finder.since.setdefault(step.id, time.time())
        if self.request.apart:
            return
        store, line = self.bench.store, step.span.place
        where = self.finder.looking.where(step, self.steps)
        layer = NewLayer(result.chain.diff_ids[-1], result.size)
        cache.keep(store, looked.key, layer, where, created=result.created, seconds=seconds, usage=usage, line=line)
        if lists := looked.lists():
            inputs.keep(store, where, lists, layer.diff_id)

    def _work(self, step: Step, looked: Looked, former: NewLayer | None) -> tuple[NewLayer, Usage | None]:
        """Make a step's layer; the `former` one again if only times differ."""
        store, below = self.bench.store, looked.below
        form = self.request.form if step.id in self._leaving else None
        anew = self.request.no_cache or step.stage.lower() in self._filtered
        match step.op:
            case Run():
                from builder.ops.run import Settings, run

                self._ran = True
                wanted = self.request
                footing = self.bench.runtime().settle(None if step.op.insecure else wanted.userns, store.root)
                if footing.why and not self._warned:
                    self._warned = True
                    self.emit(Warned(footing.why))
                settings = Settings(
                    wanted.limits,
                    wanted.keep_failed,
                    form,
                    wanted.secrets,
                    wanted.agents,
                    self._renewal if anew else None,
                    footing,
                    self._networks,
                    former,
                    self._mount_data if self.finder.imports.mounts else None,
                    None if self.bench.debugger is None else self._look,
                    wanted.times,
                    self._emulators.get(step.platform),
                )
                return run(
                    self.bench,
                    below,
                    step,
                    settings,
                    looked.shown,
                    context=self.context,
                    output=lambda stream, data: self.emit(StepOutput(step.id, stream, data)),
                    stop=self._halt,
                    more=self._more(),
                )
            case Mkdir():
                from builder.ops.mkdir import mkdir

                return settled(store, below, former, mkdir(store, below, step, self.request)), None
            case Copy():
                from builder.ops.copy import copy

                assert looked.selection is not None
                there = store.tree(below)
                times = self.request.times
                layer = copy(store, there, step, looked.selection, anew=anew, form=form, times=times)
                return settled(store, below, former, layer), None
        raise AssertionError(step.op)

    def _mount_data(self, path: Path, key: Digest) -> bool:
        """Fill a new cache mount with what a shared cache has of it; False if none has."""
        from builder.sharing.mounts import fill

        return fill(self.bench.store, self.finder.imports, key, path)

    def _look(self, step: Step, sandbox: Sandbox, exit: Exit) -> None:
        """Have the thread that owns the terminal show a failed command; returns when it was looked at."""
        self._halt.set()
        seen = threading.Event()
        self._looks.put((step, sandbox, exit, seen))
        while not seen.wait(LOOK_SECONDS) and not self._gone.is_set():
            pass

    def _show(self) -> None:
        """What is waiting to be looked at."""
        while not self._looks.empty():
            step, sandbox, exit, seen = self._looks.get()
            try:
                if self.bench.debugger is not None:
                    self.bench.debugger(step, sandbox, exit)
            finally:
                seen.set()

    def _more(self) -> int:
        """RUNs that have not begun."""
        return sum(isinstance(step.op, Run) for step in list(self._waiting.values()))

    # -- telling ---------------------------------------------------------------------------------

    def _now(self) -> str:
        from layers.oci.documents import timestamp

        epoch = self.request.epoch
        return timestamp(datetime.now(UTC) if epoch is None else datetime.fromtimestamp(epoch, UTC))

    def _report(self, step: Step, status: str, seconds: float, usage: Usage | None, reason: str = "") -> None:
        made = self.made[step.id]
        self.reports[step.id] = StepReport(
            step.id,
            step.title,
            step.stage,
            step.span,
            status,  # type: ignore[arg-type]
            seconds,
            usage,
            made.chain.diff_ids[-1] if made.chain.diff_ids else None,
            made.size,
            reason,
            self.finder.keys.get(step.id, ""),
        )

    def _tell(self, step: Step, error: Exception, began: float) -> None:
        exit = error.exit if isinstance(error, StepFailed) else None
        self.emit(
            FailedEvent(
                step.id,
                str(error).partition("\n")[0],
                time.monotonic() - began,
                None if exit is None else exit.code,
                exit is not None and exit.oom_killed,
                exit is not None and exit.timed_out,
                getattr(error, "help", ""),
                None if exit is None else exit.usage,
                getattr(error, "kept", ""),
            )
        )

"""Runs the graph: every step as soon as what it needs is there, what is known from the cache at once.

Steps run in threads; what one of them raises stops those that have not begun, is told, and is raised again when all
have ended.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from builder import cache
from builder.build import StepReport
from builder.context import Context
from builder.errors import BuildError, Cancelled, ContextError, StepFailed
from builder.events import Event, StepCached, StepFinished, StepOutput, StepStarted
from builder.events import StepFailed as FailedEvent
from builder.graph import Base, Copy, Mkdir, Outcome, Run, Step, origins
from builder.ops.select import Selection, select
from layers import Chain
from layers.home.caches import Renewal
from layers.quick import dataclass

if TYPE_CHECKING:
    from builder.ops.attach import Shown
    from builder.ops.copy import TreeOrigin
    from builder.request import BuildRequest
    from builder.workbench import Workbench
    from layers import NewLayer
    from runner import Usage


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
        context: Callable[[], Context | None],
        emit: Callable[[Event], None],
        stop: threading.Event,
    ) -> None:
        self.request = request
        self.bench = bench
        self.context = context
        self.emit = emit
        self.stop = stop
        self.made: dict[int, Made] = {}
        self.reports: dict[int, StepReport] = {}
        self._halt = threading.Event()  # stops running commands when a step elsewhere failed, or the user says so
        self._waiting: dict[int, Step] = {}
        self._ran = False
        self._leaving = frozenset(line.step for line in outcome.lines)
        """Steps whose layers are the image's own."""
        self._renewal = Renewal()
        self._refused = {name.lower() for name in request.no_cache_filter}

    def run(self, steps: Iterable[Step]) -> None:
        """Do every step. Raises the first error, Cancelled if `stop` was set."""
        waiting = self._waiting = {step.id: step for step in steps}
        running: dict[Future[None], Step] = {}
        failure: BaseException | None = None
        jobs = self.request.jobs or max(LEAST_JOBS, 2 * (os.cpu_count() or 1))
        watcher = threading.Thread(target=self._watch, daemon=True, name="pybuild-stop")
        self._over = threading.Event()
        watcher.start()
        try:
            with ThreadPoolExecutor(max(jobs, 1), thread_name_prefix="pybuild-step") as pool:
                while (waiting and failure is None) or running:
                    if failure is None and not self.stop.is_set():
                        for step in [
                            step for step in waiting.values() if all(need in self.made for need in step.needs)
                        ]:
                            del waiting[step.id]
                            running[pool.submit(self._do, step)] = step
                    if not running:
                        break
                    done, _ = wait(running, LOOK_SECONDS, return_when=FIRST_COMPLETED)
                    for future in done:
                        del running[future]
                        error = future.exception()
                        if error is not None and (failure is None or isinstance(failure, Cancelled)):
                            failure = error
                            self._halt.set()
        finally:
            self._over.set()
            watcher.join()
            if self._ran:
                self.bench.runtime().rest()
        for step in waiting.values():
            self.reports[step.id] = StepReport(step.id, step.title, step.stage, step.span, "skipped")
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

    def _do(self, step: Step) -> None:
        """Do one step, or find it in the cache; errors are told before they are raised."""
        began = time.monotonic()
        try:
            if isinstance(step.op, Base):
                self._base(step, step.op)
                return
            assert step.base is not None
            below = self.made[step.base].chain
            origin, selection = self._selected(step)
            shown = self._shown(step)
            key = self._key(step, below, selection, shown)
            if not self._anew(step) and (kept := cache.find(self.bench.store, key)) is not None:
                self.made[step.id] = Made(below.push(kept.diff_id), kept.created, kept.size)
                if kept.line != step.span.place:
                    cache.move(self.bench.store, key, kept, step.span.place)
                self.emit(StepCached(step.id))
                self._report(step, "cached", kept.seconds, kept.usage)
                return
            if self._halt.is_set():
                raise Cancelled("the build was stopped")
            self.emit(StepStarted(step.id))
            layer, usage = self._work(step, below, origin, selection, shown)
            seconds = time.monotonic() - began
            created = self._now()
            line = step.span.place
            cache.keep(self.bench.store, key, layer, created=created, seconds=seconds, usage=usage, line=line)
            self.made[step.id] = Made(below.push(layer.diff_id), created, layer.size)
            self._report(step, "ran", seconds, usage)
            self.emit(StepFinished(step.id, seconds, usage, layer.size, layer.diff_id))
        except Cancelled:
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

        self.emit(StepStarted(step.id))
        fetch(self.bench, op.image, self.emit, step.id, self._halt)
        self.made[step.id] = Made(op.image.chain, op.image.config.created or created)
        seconds = time.monotonic() - began
        self._report(step, "ran", seconds, None)
        self.emit(StepFinished(step.id, seconds))

    def _selected(self, step: Step) -> tuple[Context | TreeOrigin | None, Selection | None]:
        """What a COPY puts down, and where it is read."""
        if not isinstance(step.op, Copy):
            return None, None
        from builder.ops.copy import TreeOrigin

        origin: Context | TreeOrigin | None
        if step.op.origin is not None:
            origin = TreeOrigin(self.bench.store.tree(self.made[step.op.origin].chain))
        else:
            origin = self.context()
        if origin is None:
            if step.op.sources:
                help = "give the directory with the files instead of -"
                raise ContextError("this build has no files to copy: it has no context", span=step.span, help=help)
            return None, Selection((), step.op.files)
        return origin, select(origin, step.op, step)

    def _shown(self, step: Step) -> Sequence[Shown]:
        """What the mounts of a RUN show."""
        if not isinstance(step.op, Run) or not step.op.mounts:
            return ()
        from builder.ops.attach import look

        chains = {id: self.made[id].chain for id in origins(step.op)}
        return look(self.bench.store, step, chains, self.context)

    def _key(self, step: Step, below: Chain, selection: Selection | None, shown: Sequence[Shown]) -> cache.Key:
        match step.op:
            case Run():
                return cache.run_key(below, step.op, step, [one.content for one in shown])
            case Mkdir():
                return cache.mkdir_key(below, step.op, step)
            case Copy():
                assert selection is not None
                return cache.copy_key(below, step.op, step, selection.digest())
        raise AssertionError(step.op)

    def _anew(self, step: Step) -> bool:
        return self.request.no_cache or step.stage.lower() in self._refused

    def _work(
        self,
        step: Step,
        below: Chain,
        origin: Context | TreeOrigin | None,
        selection: Selection | None,
        shown: Sequence[Shown],
    ) -> tuple[NewLayer, Usage | None]:
        store = self.bench.store
        form = self.request.form if step.id in self._leaving else None
        match step.op:
            case Run():
                from builder.ops.run import Settings, run

                self._ran = True
                wanted = self.request
                renewal = self._renewal if self._anew(step) else None
                settings = Settings(wanted.limits, wanted.keep_failed, form, wanted.secrets, wanted.agents, renewal)
                return run(
                    self.bench,
                    below,
                    step,
                    settings,
                    shown,
                    context=self.context,
                    output=lambda stream, data: self.emit(StepOutput(step.id, stream, data)),
                    stop=self._halt,
                    more=self._more(),
                )
            case Mkdir():
                from builder.ops.mkdir import mkdir

                return mkdir(store, below, step, step.op, self.request.epoch), None
            case Copy():
                from builder.ops.copy import copy

                assert selection is not None
                there = store.tree(below)
                return copy(store, there, step, selection, origin, anew=self._anew(step), form=form), None
        raise AssertionError(step.op)

    def _more(self) -> int:
        """RUNs that have not begun."""
        return sum(isinstance(step.op, Run) for step in list(self._waiting.values()))

    # -- telling ---------------------------------------------------------------------------------

    def _now(self) -> str:
        from layers.oci.documents import timestamp

        epoch = self.request.epoch
        return timestamp(datetime.now(UTC) if epoch is None else datetime.fromtimestamp(epoch, UTC))

    def _report(self, step: Step, status: str, seconds: float, usage: Usage | None) -> None:
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

"""The layer of a step whose result no cache has: its operation, done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from builder.caching.cutoff import settled
from builder.events import Event, StepOutput, Warned
from builder.graph import Copy, Mkdir, Run, Step
from builder.networks.building import Building
from layers.home.caches import Renewal

if TYPE_CHECKING:
    from pathlib import Path

    from builder.caching.looking import Looked
    from builder.contexts.contexts import Contexts
    from builder.executing.looks import Looks
    from builder.request import BuildRequest
    from builder.sharing.known import Imports
    from builder.workbench import Workbench
    from layers import Digest, NewLayer, Platform
    from runner import Emulator, Usage


class LayerMaker:
    """Makes the layers of one graph's steps; threads share it.

    `own` are the steps whose layers are the image's own, `more` says how many RUNs have not begun.
    """

    def __init__(
        self,
        request: BuildRequest,
        bench: Workbench,
        *,
        context: Contexts,
        imports: Imports,
        emulators: Mapping[Platform, Emulator],
        own: Collection[int | None],
        more: Callable[[], int],
        looks: Looks,
        emit: Callable[[Event], None],
        stop: threading.Event,
    ) -> None:
        self._request = request
        self._bench = bench
        self._context = context
        self._imports = imports
        self._emulators = emulators
        self._own = own
        self._more = more
        self._looks = looks
        self._emit = emit
        self._stop = stop
        self._filtered = {name.lower() for name in request.no_cache_filter}
        self._renewal = Renewal()
        self._networks = Building(bench.store, lambda sentence: emit(Warned(sentence)))
        self._ran = False
        self._warned = False

    def make(self, step: Step, looked: Looked, former: NewLayer | None) -> tuple[NewLayer, Usage | None]:
        """Make a step's layer; the `former` one again if only times differ. Raises what its operation raises."""
        store, below, request = self._bench.store, looked.below, self._request
        match step.op:
            case Run():
                return self._run(step, step.op, looked, former)
            case Mkdir():
                from builder.ops.mkdir import mkdir

                layer = mkdir(store, below, step, request.epoch, looked.times)
                return settled(store, below, former, layer), None
            case Copy():
                from builder.ops.copy import copy

                assert looked.selection is not None
                layer = copy(
                    store,
                    store.tree(below),
                    step,
                    looked.selection,
                    anew=self._anew(step),
                    form=request.form if step.id in self._own else None,
                    times=looked.times,
                )
                return settled(store, below, former, layer), None
        raise AssertionError(step.op)

    def close(self) -> None:
        """Let the runtime rest, and what the last command has left and the networks go."""
        if self._ran:
            self._bench.store.session.tidy()
            self._bench.runtime().rest()
        self._networks.close()

    def _run(self, step: Step, op: Run, looked: Looked, former: NewLayer | None) -> tuple[NewLayer, Usage]:
        from builder.ops.run import Settings, run

        self._ran = True
        bench, request = self._bench, self._request
        footing = bench.runtime().settle(None if op.insecure else request.userns, bench.store.root)
        if footing.why and not self._warned:
            self._warned = True
            self._emit(Warned(footing.why))
        settings = Settings(
            request.limits,
            request.keep_failed,
            request.form if step.id in self._own else None,
            request.secrets,
            request.agents,
            self._renewal if self._anew(step) else None,
            footing,
            self._networks,
            former,
            self._mount_data if self._imports.mounts else None,
            self._looks.bring if self._looks.wanted else None,
            looked.times,
            self._emulators.get(step.platform),
            request.devices,
        )
        return run(
            bench,
            looked.below,
            step,
            settings,
            looked.shown,
            context=self._context,
            output=lambda stream, data: self._emit(StepOutput(step.id, stream, data)),
            stop=self._stop,
            more=self._more(),
        )

    def _anew(self, step: Step) -> bool:
        """True if not even parts of what there is may be used."""
        return self._request.no_cache or step.stage.lower() in self._filtered

    def _mount_data(self, path: Path, key: Digest) -> bool:
        """Fill a new cache mount with what a shared cache has of it; False if none has."""
        from builder.sharing.mounts import fill

        return fill(self._bench.store, self._imports, key, path)

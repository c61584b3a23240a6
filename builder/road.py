"""The road of one build: read, plan, execute, assemble, keep, export; for every platform."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from builder.annotations import of
from builder.assemble import assemble
from builder.bases import Bases
from builder.build import BuildResult
from builder.builds import inputs, note
from builder.built import Built
from builder.caching.finding import Vanished
from builder.contexts.contexts import Contexts
from builder.emulation import emulators
from builder.errors import BuildError, Cancelled
from builder.events import Event, Exported, Planned, PlannedStep, Warned
from builder.executing.execution import Execution
from builder.graph import BuildGraph, Run, Step
from builder.joined import Joined
from builder.planning.plan import plan
from builder.request import BuildRequest
from builder.sharing.known import CacheBroken, Imports
from builder.span import NOWHERE, Span
from builder.times import NAME, now
from builder.workbench import Workbench
from layers import Descriptor, Platform
from layers.oci.image import oci
from runner import Limits

if TYPE_CHECKING:
    from builder.dockerfile import Dockerfile
    from builder.sources.gitref import GitSource
    from builder.sources.web import WebSource
    from runner import Emulator


class Road:
    """One build."""

    def __init__(
        self, request: BuildRequest, bench: Workbench, emit: Callable[[Event], None], stop: threading.Event
    ) -> None:
        self.request = request
        self.bench = bench
        self.emit = emit
        self.stop = stop
        self.imports = Imports()
        self._emulators: Mapping[Platform, Emulator] = {}
        self.contexts = Contexts(request, bench, stop)
        self.dated_by: GitSource | WebSource | None = None
        """What SOURCE_DATE_EPOCH takes the time from, once that is known."""

    @property
    def text(self) -> bytes:
        """The Dockerfile, once it is read."""
        return self.contexts.text

    def walk(self) -> BuildResult:
        """All of it. Raises what `builder.build.build` promises."""
        try:
            return self._walk()
        finally:
            self.contexts.close()

    def _walk(self) -> BuildResult:
        began = time.monotonic()
        request, store = self.request, self.bench.store
        platforms = request.platforms or (Platform.host(),)
        for_index = of(request.annotations, "index") or of(request.annotations, "index-descriptor")
        if for_index and len(platforms) == 1 and not request.attest:
            raise BuildError("annotations of an index need one: build for several platforms (--platform A,B)")
        exported: list[Descriptor] = []
        with store.lease():
            self.imports = self.imported()
            graphs = list(self.graphs())
            request = self.request
            self._emulators = emulators(request, self.bench, graphs, partial(self._missing, graphs))
            started = time.time()
            execution = self._executed(graphs)
            built = [self._image(graph, execution, started) for graph in graphs]
            images = [one.image for one in built]
            target = images[0].target
            names = (*request.tags, *(name for one in request.outputs if one.kind == "image" for name in one.names))
            if len(images) > 1 or request.attest:
                from builder.indexing import index

                target = index(self, built, names)
            for tag in dict.fromkeys(names):
                store.images.tag(tag, target)
                self.emit(Exported("store", tag.familiar, target.digest, images[0].size))
            if request.outputs:
                from builder.export import export

                for output in request.outputs:
                    sent = export(self.bench, request, output, images, target=target, emit=self.emit)
                    exported += [sent] if sent is not None else []
            for place in request.cache_to:
                if place.kind != "inline":
                    from builder.sharing.giving import share

                    share(self, place, built)
        size = sum(image.size for image in images)
        return BuildResult(
            target,
            tuple(image.id for image in images),
            tuple(platforms),
            tuple(execution.reports[id] for id in execution.steps),
            size,
            time.monotonic() - began,
            tuple(one.inputs for one in built),
            tuple(exported),
        )

    def graphs(self) -> Iterator[BuildGraph]:
        """The plan for each platform; a step has one id in all of them. Raises DockerfileError and its like."""
        dockerfile, joined = self._dated(self.contexts.dockerfile()), Joined()
        platforms = self.request.platforms or (Platform.host(),)
        for number, platform in enumerate(platforms):
            bases = Bases(self.bench, pull=self.request.pull)
            named = self.bench.named
            graph = plan(dockerfile, self.request, platform, bases, self.warn, named=named, layouts=bases.layout)
            if not number:
                from builder.checks.before import warn

                warn(self, dockerfile, platform, bases)
            yield joined.add(graph) if len(platforms) > 1 else graph

    def _dated(self, dockerfile: Dockerfile) -> Dockerfile:
        """The Dockerfile and, from here on, the request with the time that either of them names."""
        if not self.request.rewrite or NAME in self.request.build_args or NAME.encode() in self.text:
            from builder.epoch import settled

            dockerfile, self.request = settled(self, dockerfile)
        return dockerfile

    def imported(self) -> Imports:
        """The shared caches, read; one that cannot be is told of."""
        if not self.request.cache_from:
            return Imports()
        from builder.sharing.imports import load

        platforms = self.request.platforms or (Platform.host(),)
        return Imports(load(self.bench, self.request.cache_from, platforms, self.warn))

    def warn(self, message: str, span: Span = NOWHERE) -> None:
        """Tell what does not hinder the build."""
        self.emit(Warned(message, span=span))

    # -- parts -----------------------------------------------------------------------------------

    def _missing(self, graphs: Sequence[BuildGraph]) -> list[Step]:
        """The steps that no cache has."""
        from builder.caching.forecast import Forecast

        return [one.step for graph in graphs for one in Forecast(self).of(graph) if one.state == "miss"]

    def _image(self, graph: BuildGraph, execution: Execution, began: float) -> Built:
        """One platform's image of what was executed; it is kept without a name."""
        outcome = graph.outcome
        below = () if outcome.base is None else oci(outcome.base.manifest.layers)
        notes = of(self.request.annotations, "manifest", outcome.platform)
        manifest, config = assemble(outcome, execution.made, below, notes, now(self.request))
        if self.request.squash is not None:
            from builder.squash import squash

            kept = 0 if self.request.squash == "all" or outcome.base is None else len(outcome.base.chain)
            manifest, config = squash(self.bench.store, manifest, config, kept)
        if any(place.kind == "inline" for place in self.request.cache_to):
            if self.request.squash is None:
                from builder.sharing.giving import noted

                manifest, config = noted(graph, execution, manifest, config)
            else:
                self.warn("a squashed image carries no cache: use --cache-to type=local or type=registry")
        image = self.bench.store.images.add(manifest, config)
        went_in = inputs(self, graph, execution)
        if not self.request.apart:
            note(self.bench.store, graph, execution, image, went_in, began=began)
        return Built(graph, execution, image, went_in)

    def _executed(self, graphs: Sequence[BuildGraph]) -> Execution:
        """All steps done, and the layers of the images here; a shared cache that breaks its word is left out."""
        steps = {step.id: step for graph in graphs for step in graph.steps}.values()
        if self.request.limits != Limits() and any(isinstance(step.op, Run) for step in steps):
            from runner.cgroups import check

            check(self.request.limits)
        self.emit(Planned(tuple(planned(step, several=len(graphs) > 1) for step in steps)))
        while True:
            execution = Execution(
                self.request,
                self.bench,
                [graph.outcome for graph in graphs],
                context=self.contexts,
                emit=self.emit,
                stop=self.stop,
                imports=self.imports,
                emulators=self._emulators,
            )
            try:
                execution.run(steps)
                if not self.stop.is_set():
                    for graph in graphs:
                        execution.finder.supply.need(execution.made[graph.outcome.top].chain)
                    execution.adopt()
                    return execution
            except CacheBroken as broken:
                self.imports = self.imports.without(broken.source)
                self.warn(f"{broken}; it is not used any more")
                continue
            except Vanished:
                continue
            finally:
                self.contexts.rest()
            raise Cancelled("the build was stopped")


def planned(step: Step, *, several: bool) -> PlannedStep:
    """A step as renderers know it."""
    return PlannedStep(
        step.id,
        step.title,
        step.stage,
        step.position,
        step.count,
        step.needs,
        step.span,
        step.platform if several else None,
    )

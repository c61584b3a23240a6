"""The road of one build: read, plan, execute, assemble, keep, export; for every platform."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from builder.annotations import of
from builder.assemble import assemble
from builder.bases import Bases
from builder.build import BuildResult, StepReport
from builder.builds import inputs, note
from builder.caching.finding import Vanished
from builder.context import Context
from builder.contexts import Contexts
from builder.dockerfile import Dockerfile
from builder.emulation import emulators
from builder.errors import BuildError, Cancelled, DockerfileErrors
from builder.events import Event, Exported, Planned, PlannedStep, Warned
from builder.execute import Execution
from builder.graph import BaseImage, BuildGraph, Copy, Run, Step
from builder.ignore import Ignore
from builder.mounts import BindMount, CacheMount, Mounted
from builder.plan import plan
from builder.request import BuildRequest, CacheTarget
from builder.sharing.known import CacheBroken, Imports
from builder.span import NOWHERE, Span
from builder.workbench import Workbench
from layers import Descriptor, Image, ImageConfig, Index, Manifest, Platform, Reference
from layers.oci.documents import timestamp
from layers.oci.image import oci
from runner import Limits

if TYPE_CHECKING:
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
        self._inputs: list[Mapping[str, Any]] = []
        self._emulators: Mapping[Platform, Emulator] = {}
        self._done: list[tuple[BuildGraph, Execution]] = []
        self.contexts = Contexts(request, bench, stop)

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
        images: list[Image] = []
        exported: list[Descriptor] = []
        reports: list[StepReport] = []
        with store.lease():
            self.imports = self.imported()
            graphs = list(self.graphs())
            self._emulators = emulators(request, self.bench, graphs, partial(self._missing, graphs))
            for graph in graphs:
                image, done = self._one(graph, several=len(platforms) > 1)
                images.append(image)
                reports += done
            target = images[0].target
            names = (*request.tags, *(name for one in request.outputs if one.kind == "image" for name in one.names))
            if len(images) > 1 or request.attest:
                target = self._index(images, self._attested(images, names))
            for tag in dict.fromkeys(names):
                store.images.tag(tag, target)
                self.emit(Exported("store", tag.familiar, target.digest, images[0].size))
            if request.outputs:
                from builder.export import export

                for output in request.outputs:
                    sent = export(self.bench, request, output, images, target=target, emit=self.emit)
                    exported += [sent] if sent is not None else []
            for place in request.cache_to:
                self._share(place)
        size = sum(image.size for image in images)
        return BuildResult(
            target,
            tuple(image.id for image in images),
            tuple(platforms),
            tuple(reports),
            size,
            time.monotonic() - began,
            tuple(self._inputs),
            tuple(exported),
        )

    def graphs(self) -> Iterator[BuildGraph]:
        """The plan for each platform, with ids of its own for every step. Raises DockerfileError and its like."""
        dockerfile, offset = self.contexts.dockerfile(), 0
        for platform in self.request.platforms or (Platform.host(),):
            bases = Bases(self.bench, pull=self.request.pull)
            named = self.bench.named
            graph = plan(dockerfile, self.request, platform, bases, self._warn, named=named, layouts=bases.layout)
            if not offset:
                self._check(dockerfile, platform, bases)
            yield renumbered(graph, offset)
            offset += len(graph.steps)

    def imported(self) -> Imports:
        """The shared caches, read; one that cannot be is told of."""
        if not self.request.cache_from:
            return Imports()
        from builder.sharing.imports import load

        platforms = self.request.platforms or (Platform.host(),)
        return Imports(load(self.bench, self.request.cache_from, platforms, self._warn))

    # -- parts -----------------------------------------------------------------------------------

    def _check(self, dockerfile: Dockerfile, platform: Platform, bases: Bases) -> None:
        """Tell what is allowed and yet probably not meant. Raises CheckFailed, and DockerfileErrors if strict."""
        from builder.checks import BUILDKIT, check

        def ignore() -> Ignore | None:
            files = self.contexts()
            return files.ignore if isinstance(files, Context) else None

        request, rules = self.request, BUILDKIT
        known = bases.known(self.bench.named)

        def base(name: str, platform: Platform, span: Span) -> BaseImage | None:
            if request.contexts:
                from builder.sources.named import find

                if find(request.contexts, name, platform) is not None:
                    return None  # no image is asked for
            return known(name, platform, span)

        matches: Callable[[str], bool] | None = None
        if request.strict:
            from builder.checks.strict import of_builds
            from builder.checks.wildcards import matches as match

            rules = of_builds()
            if request.context is not None:
                matches = partial(match, request.context, ignore())
        report = check(
            dockerfile,
            rules,
            base=base,
            target=request.target,
            build_args=request.build_args,
            platform=platform,
            ignore=ignore,
            matches=matches,
            secrets=frozenset(request.secrets),
            agents=frozenset(request.agents),
        )
        for finding in report.findings:
            if finding.rule.severity != "error":
                self.emit(Warned(finding.message, finding.rule.name, finding.span, url=finding.rule.url))
        if report.errors:
            raise DockerfileErrors(report.errors)
        if report.failure is not None:
            raise report.failure

    def _missing(self, graphs: Sequence[BuildGraph]) -> list[Step]:
        """The steps that no cache has."""
        from builder.caching.forecast import Forecast

        return [one.step for graph in graphs for one in Forecast(self).of(graph) if one.state == "miss"]

    def _warn(self, message: str, span: Span = NOWHERE) -> None:
        self.emit(Warned(message, span=span))

    def _one(self, graph: BuildGraph, *, several: bool) -> tuple[Image, list[StepReport]]:
        """Build one platform's image; it is kept without a name."""
        if self.request.limits != Limits() and any(isinstance(step.op, Run) for step in graph.steps):
            from runner.cgroups import check

            check(self.request.limits)
        began = time.time()
        self.emit(Planned(tuple(planned(step, several=several) for step in graph.steps)))
        execution = self._executed(graph)
        outcome = graph.outcome
        below = () if outcome.base is None else oci(outcome.base.manifest.layers)
        epoch = self.request.epoch
        now = timestamp(datetime.now(UTC) if epoch is None else datetime.fromtimestamp(epoch, UTC))
        manifest, config = assemble(
            outcome, execution.made, below, of(self.request.annotations, "manifest", outcome.platform), now
        )
        if self.request.squash is not None:
            from builder.squash import squash

            kept = 0 if self.request.squash == "all" or outcome.base is None else len(outcome.base.chain)
            manifest, config = squash(self.bench.store, manifest, config, kept)
        if any(place.kind == "inline" for place in self.request.cache_to):
            manifest, config = self._inline(graph, execution, manifest, config)
        image = self.bench.store.images.add(manifest, config)
        self._done.append((graph, execution))
        went_in = inputs(self, graph, execution)
        self._inputs.append(went_in)
        if not self.request.apart:
            note(self.bench.store, graph, execution, image, went_in, began=began)
        return image, [execution.reports[step.id] for step in graph.steps]

    def _executed(self, graph: BuildGraph) -> Execution:
        """All steps done, and the layers of the image here; a shared cache that breaks its word is left out."""
        while True:
            execution = Execution(
                self.request,
                self.bench,
                graph.outcome,
                context=self.contexts,
                emit=self.emit,
                stop=self.stop,
                imports=self.imports,
                emulators=self._emulators,
            )
            try:
                execution.run(graph.steps)
                if not self.stop.is_set():
                    execution.finder.supply.need(execution.made[graph.outcome.top].chain)
                    execution.adopt()
                    return execution
            except CacheBroken as broken:
                self.imports = self.imports.without(broken.source)
                self._warn(f"{broken}; it is not used any more")
                continue
            except Vanished:
                continue
            finally:
                self.contexts.rest()
            raise Cancelled("the build was stopped")

    def _inline(
        self, graph: BuildGraph, execution: Execution, manifest: Manifest, config: ImageConfig
    ) -> tuple[Manifest, ImageConfig]:
        """The documents of an image with the cache records of its own layers in them."""
        from builder.sharing.document import inline
        from builder.sharing.exports import of_steps
        from layers.oci.image import rewrite

        places = {diff_id: place for place, diff_id in enumerate(config.diff_ids)}
        results = [one for one in of_steps(graph, execution, mode="min") if one.diff_id in places]
        if self.request.squash is not None:
            self._warn("a squashed image carries no cache: use --cache-to type=local or type=registry")
            return manifest, config
        config = inline(config, [(places[one.diff_id], one) for one in results])
        return rewrite(manifest, config, manifest.layers), config

    def _share(self, place: CacheTarget) -> None:
        """Write a shared cache. Raises what hinders that, or warns."""
        if place.kind == "inline":
            return
        from builder.sharing.exports import export

        try:
            found = export(self.bench, place, self._done, warn=self._warn, stop=self.stop)
        except Cancelled:
            raise
        except Exception as error:  # of a registry, whose errors are of another room
            if not place.ignore_error:
                error.add_note(f"the image is built; its cache could not be written to {place.where}")
                raise
            self._warn(f"cache {place.where}: {error}")
        else:
            self.emit(Exported("cache", place.where, found.digest))

    def _attested(self, images: list[Image], names: Sequence[Reference]) -> list[Descriptor]:
        """What is told of each image, kept: entries for the index."""
        attest = self.request.attest
        if not attest:
            return []
        from builder.attest.provenance import Made, provenance
        from builder.attest.statements import attach

        found = []
        for (graph, execution), image, went_in in zip(self._done, images, self._inputs, strict=True):
            predicates = []
            if attest.sbom:
                from builder.attest.packages import packages
                from builder.attest.spdx import sbom

                name = names[0].familiar if names else "image"
                predicates.append(sbom(image, name, packages(self.bench.store.tree(image.chain), self._warn)))
            if attest.provenance:
                predicates.append(provenance(self, Made(graph, execution, image, went_in)))
            found.append(attach(self.bench.store, image, predicates, names, artifact=attest.artifact))
        return found

    def _index(self, images: list[Image], attested: list[Descriptor]) -> Descriptor:
        """One document over the images of all platforms, and what is told of them."""
        notes = self.request.annotations
        entries = []
        for image in images:
            own = image.config.platform
            entries.append(replace(image.target, platform=own, annotations=of(notes, "manifest-descriptor", own)))
        entries += attested
        index = Index.build(entries, annotations=of(notes, "index"))
        store = self.bench.store
        store.blobs.keep(index.raw, index.media_type)
        store.images.learn(index.descriptor, [entry.digest for entry in entries])
        return index.descriptor


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


def renumbered(graph: BuildGraph, offset: int) -> BuildGraph:
    """The graph with other ids, so that the steps of several platforms can be told apart."""
    if not offset:
        return graph

    def mount(one: Mounted) -> Mounted:
        if isinstance(one, BindMount | CacheMount) and one.origin is not None:
            return replace(one, origin=one.origin + offset)
        return one

    def moved(step: Step) -> Step:
        op = step.op
        if isinstance(op, Copy):
            fetched = tuple(None if one is None else one + offset for one in op.fetched)
            op = replace(op, origin=None if op.origin is None else op.origin + offset, fetched=fetched)
        elif isinstance(op, Run):
            op = replace(op, mounts=tuple(map(mount, op.mounts)))
        return replace(step, id=step.id + offset, base=None if step.base is None else step.base + offset, op=op)

    lines = tuple(replace(line, step=None if line.step is None else line.step + offset) for line in graph.outcome.lines)
    outcome = replace(graph.outcome, top=graph.outcome.top + offset, lines=lines)
    return BuildGraph(tuple(moved(step) for step in graph.steps), outcome)

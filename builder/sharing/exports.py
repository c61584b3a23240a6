"""A shared cache written after a build: documents last, blobs that are there already not sent again."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, BinaryIO

from builder.errors import Cancelled
from builder.sharing import document as documents
from builder.sharing.document import Document, MountData, Result
from builder.sharing.places import opened
from layers import ArchiveInvalid, Chain, Descriptor, DiffID, Digest, Manifest, UnsafePath
from layers.moving.repository import ReadOnly

if TYPE_CHECKING:
    from builder.built import Built
    from builder.executing.execution import Execution
    from builder.graph import BuildGraph
    from builder.request import CacheTarget
    from builder.workbench import Workbench
    from layers import Repository, Store


def export(
    bench: Workbench, target: CacheTarget, built: Sequence[Built], *, warn: Callable[[str], None], stop: threading.Event
) -> Descriptor:
    """Write what a build knows to a place; the manifest there. Raises what the place raises, and Cancelled."""
    from layers.moving.places import Places
    from layers.moving.transfer import copy
    from layers.tar.pipeline import Stopped

    repository, name = opened(bench, target, write=True)
    results = {one.key: one for done in built for one in of_steps(done.graph, done.execution, mode=target.mode)}
    facts = {key: fact for one in built for key, fact in one.execution.finder.facts.used.items()}
    mounts: dict[str, MountData] = {}
    if target.mounts:
        names = {key: name for one in built for key, name in one.execution.finder.mounts.items()}
        mounts = {one.key: one for one in of_mounts(bench.store, names, warn)}
    diff_ids = [*(one.diff_id for one in results.values()), *(one.diff_id for one in mounts.values())]
    layers = blobs(bench.store, repository, dict.fromkeys(diff_ids), target, built)
    config, manifest = documents.build(Document(results, layers, facts if target.mode == "max" else {}, mounts))
    shelf = Shelf(bench.store, config, manifest)
    try:
        return copy(shelf, manifest.descriptor, repository, name, places=Places(bench.store), stop=stop)
    except Stopped as error:
        raise Cancelled("the build was stopped") from error


def of_steps(graph: BuildGraph, execution: Execution, *, mode: str) -> Iterable[Result]:
    """What the steps came to: with `min` those whose layers are the image's own, with `max` all."""
    own = {line.step for line in graph.outcome.lines}
    for step in graph.steps:
        report = execution.reports[step.id]
        if report.key and report.diff_id is not None and (mode == "max" or step.id in own):
            made = execution.made[step.id]
            line = step.span.place[: documents.LONGEST]
            seconds, since = round(report.seconds, 6), int(execution.finder.since[step.id])
            yield Result(report.key, report.diff_id, made.size, made.created, seconds, line, since)


def of_mounts(store: Store, names: Mapping[str, str], warn: Callable[[str], None]) -> Iterable[MountData]:
    """What the cache mounts hold now, each made into a layer; those that are not here or cannot be one are left out."""
    from layers.home.caches import Caches
    from layers.making.capture import capture

    caches = Caches(store)
    keys = {caches.key(Digest("sha256", key)).hex: key for key in names}
    for kept in caches.all():
        here, _, number = kept.path.name.partition(".")
        if (key := keys.get(here)) is not None and number == "0":
            name = names[key][: documents.LONGEST]
            try:
                with kept.shared() as data:
                    status = os.stat(data)
                    layer = capture(store, data, store.tree(Chain()))
            except (ArchiveInvalid, UnsafePath, OSError) as error:
                warn(f"the cache mount {name} is not in the shared cache: {error}")
            else:
                yield MountData(key, name, layer.diff_id, status.st_mode & 0o7777, status.st_uid, status.st_gid)


def sources(built: Sequence[Built]) -> dict[DiffID, Descriptor]:
    """The forms that imported layers have in the caches that they are from."""
    found: dict[DiffID, Descriptor] = {}
    for one in built:
        for source in one.execution.finder.imports.sources:
            found.update(source.document.layers)
    return found


def blobs(
    store: Store,
    repository: Repository,
    diff_ids: Iterable[DiffID],
    target: CacheTarget,
    built: Sequence[Built],
) -> dict[DiffID, Descriptor]:
    """The form that each layer takes; one that was never fetched stays where it is if the target has it."""
    found, there = {}, sources(built)
    for diff_id in diff_ids:
        if not store.here(diff_id):
            if (blob := there.get(diff_id)) is not None and repository.has(blob):
                found[diff_id] = blob
                continue
            for one in built:
                one.execution.finder.supply.need(Chain((diff_id,)))
        found[diff_id] = store.variants.compress(diff_id, target.codec, target.level)
    return found


class Shelf(ReadOnly):
    """The cache as a repository to copy from: its documents in memory, its layers in the store."""

    where = "a cache that is read"

    def __init__(self, store: Store, config: bytes, manifest: Manifest) -> None:
        self.store = store
        self.manifest = manifest
        self._documents = {manifest.config.digest: config, manifest.descriptor.digest: manifest.raw}

    def resolve(self, name: str) -> Descriptor:
        """There is one thing here."""
        return self.manifest.descriptor

    def has(self, wanted: Descriptor) -> bool:
        """True for the documents and for what the store has."""
        return wanted.digest in self._documents or self.store.blobs.has(wanted.digest)

    def open(self, wanted: Descriptor) -> BinaryIO:
        """The bytes of some content. Raises BlobMissing."""
        document = self._documents.get(wanted.digest)
        return self.store.blobs.open(wanted.digest) if document is None else io.BytesIO(document)

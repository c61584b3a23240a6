"""What each build was made of, kept with the image it made: to explain it afterwards, and to do it once more.

A record has the inputs (Dockerfile, arguments, digests of what was read and of base images, platform, time) and the
steps that ran. It is found by the digest of the manifest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from builder.graph import Base, BuildGraph
from builder.times import worded
from layers import Digest
from layers.quick import dataclass

if TYPE_CHECKING:
    from builder.build import StepReport
    from builder.executing.execution import Execution
    from builder.road import Road
    from layers import Image, Store

MOST = 1000
"""Builds that are remembered."""


@dataclass(frozen=True, slots=True)
class Built:
    """One build of one platform. `began` is seconds since the epoch; `steps` are those that ran, `count` counts all."""

    digest: Digest
    inputs: Mapping[str, Any]
    steps: tuple[Mapping[str, Any], ...]
    count: int
    began: float


def note(
    store: Store, graph: BuildGraph, execution: Execution, image: Image, went_in: Mapping[str, Any], *, began: float
) -> None:
    """Remember a build that is done; `went_in` are its inputs."""
    reports = execution.reports
    ran = [step for step in graph.steps if reports[step.id].status == "ran" and not isinstance(step.op, Base)]
    again = {step.id for step in ran}
    value = {
        "inputs": went_in,
        "steps": [
            {**told(reports[step.id]), "over": reports[step.base].title if step.base in again and step.base else ""}
            for step in ran
        ],
        "count": len(graph.steps),
        "began": began,
    }
    store.records.keep(f"build:{image.manifest.descriptor.digest.hex}", value)
    store.records.trim("build:", MOST)


def told(report: StepReport) -> dict[str, Any]:
    """A step for the record."""
    return {
        "title": report.title,
        "stage": report.stage,
        "line": report.span.place,
        "key": report.key,
        "seconds": round(report.seconds, 6),
        "reason": report.reason,
    }


def inputs(road: Road, graph: BuildGraph, execution: Execution) -> dict[str, Any]:
    """All that decided what was built, as JSON; what was not given is left out."""
    request = road.request
    read = [digest for step in graph.steps for digest in execution.finder.read.get(step.id, ())]
    bases = [step.op.image for step in graph.steps if isinstance(step.op, Base) and step.op.image is not None]
    found = {
        "dockerfile": str(Digest.of(road.text)),
        "text": road.text.decode("utf-8", "replace") if request.text is not None else "",
        "file": str(request.dockerfile.absolute()) if request.dockerfile else "",
        "context": str(request.context.absolute()) if request.context else "",
        "source": request.source.shown if request.source else "",
        "contexts": {name: getattr(place, "shown", str(place)) for name, place in request.contexts.items()},
        "read": hashlib.sha256("\n".join(read).encode()).hexdigest() if read else "",
        "platform": str(graph.outcome.platform),
        "bases": {image.reference.familiar: str(image.target.digest) for image in bases},
        "args": dict(request.build_args),
        "target": request.target or "",
        "labels": dict(request.labels),
        "annotations": dict(request.annotations),
        "network": request.network,
        "hosts": [list(pair) for pair in request.add_hosts],
        "shm_size": request.shm_size,
        "squash": request.squash or "",
        "epoch": request.epoch,
        "times": worded(request.times),
        "clock": request.clock,
        "inline": any(place.kind == "inline" for place in request.cache_to),
    }
    return {key: value for key, value in found.items() if value or (key == "epoch" and value is not None)}


def built(store: Store, manifest: Digest) -> Built | None:
    """How an image was built, if this store knows."""
    record = store.records.known(f"build:{manifest.hex}")
    return None if record is None else _built(record.key, record.value)


def last(store: Store) -> Built | None:
    """The last build of this store."""
    record = store.records.latest("build:")
    return None if record is None else _built(record.key, record.value)


def _built(key: str, value: Mapping[str, Any]) -> Built:
    digest = Digest("sha256", key.partition(":")[2])
    return Built(digest, value["inputs"], tuple(value["steps"]), value["count"], value["began"])

"""What a build gives to shared caches: its own image's records inside it, all it knows to a place of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from builder.errors import Cancelled
from builder.events import Exported
from builder.sharing.document import inline
from builder.sharing.exports import export, of_steps
from layers.oci.image import rewrite

if TYPE_CHECKING:
    from builder.built import Built
    from builder.executing.execution import Execution
    from builder.graph import BuildGraph
    from builder.request import CacheTarget
    from builder.road import Road
    from layers import ImageConfig, Manifest


def noted(
    graph: BuildGraph, execution: Execution, manifest: Manifest, config: ImageConfig
) -> tuple[Manifest, ImageConfig]:
    """The documents of an image with the cache records of its own layers in them."""
    places = {diff_id: place for place, diff_id in enumerate(config.diff_ids)}
    results = [one for one in of_steps(graph, execution, mode="min") if one.diff_id in places]
    config = inline(config, [(places[one.diff_id], one) for one in results])
    return rewrite(manifest, config, manifest.layers), config


def share(road: Road, place: CacheTarget, built: Sequence[Built]) -> None:
    """Write a shared cache. Raises what hinders that, or warns."""
    try:
        found = export(road.bench, place, built, warn=road.warn, stop=road.stop)
    except Cancelled:
        raise
    except Exception as error:  # of a registry, whose errors are of another room
        if not place.ignore_error:
            error.add_note(f"the image is built; its cache could not be written to {place.where}")
            raise
        road.warn(f"cache {place.where}: {error}")
    else:
        road.emit(Exported("cache", place.where, found.digest))

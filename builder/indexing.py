"""The index over the images of all platforms, and over what is told of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from builder.annotations import of
from layers import Descriptor, Index
from layers.quick import replace

if TYPE_CHECKING:
    from builder.built import Built
    from builder.road import Road
    from layers import Reference


def index(road: Road, built: Sequence[Built], names: Sequence[Reference]) -> Descriptor:
    """One document over all, kept."""
    notes, store = road.request.annotations, road.bench.store
    entries = []
    for one in built:
        own = one.image.config.platform
        entries.append(replace(one.image.target, platform=own, annotations=of(notes, "manifest-descriptor", own)))
    if road.request.attest:
        from builder.attest.attested import attested

        entries += [attested(road, one, names) for one in built]
    document = Index.build(entries, annotations=of(notes, "index"))
    store.blobs.keep(document.raw, document.media_type)
    store.images.learn(document.descriptor, [entry.digest for entry in entries])
    return document.descriptor

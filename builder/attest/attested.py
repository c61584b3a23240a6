"""What a build tells of an image, as it was asked to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from builder.attest.statements import attach

if TYPE_CHECKING:
    from builder.built import Built
    from builder.road import Road
    from layers import Descriptor, Reference


def attested(road: Road, built: Built, names: Sequence[Reference]) -> Descriptor:
    """The statements of an image, kept: the entry for the index."""
    attest, store, image = road.request.attest, road.bench.store, built.image
    predicates = []
    if attest.sbom:
        from builder.attest.packages import packages
        from builder.attest.spdx import sbom

        name = names[0].familiar if names else "image"
        predicates.append(sbom(image, name, packages(store.tree(image.chain), road.warn)))
    if attest.provenance:
        from builder.attest.provenance import provenance

        predicates.append(provenance(road, built))
    return attach(store, image, predicates, names, artifact=attest.artifact)

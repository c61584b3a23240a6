"""What lies beside an image of the store: its provenance and SBOM, as predicates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from layers import Digest, Image, Index, Repository, Store

PROVENANCE = ("https://slsa.dev/provenance/v1", "https://slsa.dev/provenance/v0.2")
SBOM = ("https://spdx.dev/Document",)


def predicates(store: Store, image: Image, types: tuple[str, ...]) -> list[Mapping[str, Any]]:
    """Those of some types that the image's name leads to. Raises BlobMissing, DocumentInvalid."""
    from layers import Index
    from layers.oci.mediatypes import INDEXES

    if image.target.media_type not in INDEXES:
        return []
    index = Index.parse(store.blobs.read(image.target.digest), image.target.media_type)
    return of(store.repository(), index, image.manifest.descriptor.digest, types)


def of(there: Repository, index: Index, image: Digest, types: tuple[str, ...]) -> list[Mapping[str, Any]]:
    """Those that lie beside an image of an index, as far as they are there. Raises what the place raises."""
    from builder.attest.statements import attached

    told = attached(there, index, image)
    return [one["predicate"] for one in told if one.get("predicateType") in types and "predicate" in one]

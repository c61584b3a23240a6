"""Predicates about images as in-toto statements, in a manifest of their own beside each image of an index.

BuildKit, docs/attestations/attestation-storage.md: the manifest is of the platform unknown/unknown, names its image in
`vnd.docker.reference.digest`, and has a layer for each statement. As an artifact it also has the image as its
`subject`, so that registries list it among its referrers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from layers import Descriptor, Digest, Image, Index, Manifest, Platform, Reference
from layers.moving.repository import document
from layers.oci import mediatypes
from layers.oci.attested import IN_TOTO, PREDICATE, REFERENCE, REFERENCE_TYPE, TYPE
from layers.oci.documents import encode, read_document
from layers.quick import dataclass, replace

if TYPE_CHECKING:
    from layers import Repository, Store

STATEMENT = "https://in-toto.io/Statement/v0.1"
ARTIFACT = "application/vnd.docker.attestation.manifest.v1+json"
UNKNOWN = Platform("unknown", "unknown")
LARGEST = 64 << 20
"""Bytes of a statement that are read."""


@dataclass(frozen=True, slots=True)
class Predicate:
    """What is told: its type, a URI, and the JSON."""

    type: str
    body: Mapping[str, Any]


def attach(
    store: Store, image: Image, predicates: Sequence[Predicate], tags: Sequence[Reference], *, artifact: bool
) -> Descriptor:
    """Keep the statements of an image; the entry for the index."""
    manifest = image.manifest.descriptor
    layers = []
    for predicate in predicates:
        raw = encode(
            {
                "_type": STATEMENT,
                "predicateType": predicate.type,
                "subject": [
                    {"name": name, "digest": {manifest.digest.algorithm: manifest.digest.hex}}
                    for name in names(tags, image.config.platform)
                ],
                "predicate": predicate.body,
            }
        )
        store.blobs.keep(raw, IN_TOTO)
        layers.append(replace(Descriptor.of(raw, IN_TOTO), annotations={PREDICATE: predicate.type}))
    config, kind = b"{}", mediatypes.OCI_EMPTY
    if not artifact:
        config, kind = config_of([layer.digest for layer in layers]), mediatypes.OCI_CONFIG
    store.blobs.keep(config, kind)
    value: dict[str, Any] = {"schemaVersion": 2, "mediaType": mediatypes.OCI_MANIFEST}
    if artifact:
        value["artifactType"] = ARTIFACT
    value["config"] = Descriptor.of(config, kind).to_json()
    value["layers"] = [layer.to_json() for layer in layers]
    if artifact:
        value["subject"] = manifest.to_json()
    made = Manifest.parse(encode(value), mediatypes.OCI_MANIFEST)
    store.blobs.keep(made.raw, made.media_type)
    store.images.learn(made.descriptor, [made.config.digest, *(layer.digest for layer in layers)])
    notes = {REFERENCE: str(manifest.digest), REFERENCE_TYPE: TYPE}
    return replace(made.descriptor, platform=UNKNOWN, annotations=notes)


def config_of(digests: Sequence[Digest]) -> bytes:
    """The config of a manifest of statements."""
    rootfs = {"type": "layers", "diff_ids": [str(digest) for digest in digests]}
    return encode({"architecture": "unknown", "os": "unknown", "config": {}, "rootfs": rootfs})


def names(tags: Sequence[Reference], platform: Platform) -> list[str]:
    """The package URLs of an image, `_` if it has no name."""
    query = f"?platform={quote(str(platform), safe='')}"
    return [purl(tag) + query for tag in tags] or ["_"]


def purl(reference: Reference) -> str:
    """An image as a package URL."""
    name, _, _ = reference.familiar.partition("@")
    path, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        path, tag = name, ""
    return f"pkg:docker/{quote(path, safe='/:')}" + (f"@{tag}" if tag else "")


def attached(there: Repository, index: Index, image: Digest) -> Iterator[Mapping[str, Any]]:
    """The statements of an index about one image, as far as they are at a place. Raises BlobMismatch."""
    for entry in index.manifests:
        if entry.annotations.get(REFERENCE) != str(image) or not there.has(entry):
            continue
        manifest = Manifest.parse(document(there, entry.bare), entry.media_type)
        for layer in manifest.layers:
            if layer.media_type == IN_TOTO and layer.size <= LARGEST and there.has(layer):
                with there.open(layer) as stream:
                    statement = json.loads(read_document(layer, stream, LARGEST))
                if isinstance(statement, dict):
                    yield statement

"""Statements about images, where they lie beside them in an index (BuildKit, attestation-storage.md; in-toto)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from layers.oci.digest import Digest
from layers.oci.documents import encode

IN_TOTO = "application/vnd.in-toto+json"
PREDICATE = "in-toto.io/predicate-type"
REFERENCE = "vnd.docker.reference.digest"
REFERENCE_TYPE = "vnd.docker.reference.type"
TYPE = "attestation-manifest"


def about(raw: bytes, now: Mapping[Digest, Digest]) -> bytes:
    """A statement, speaking of the same images under the digests that they have now. Anything else as it is."""
    try:
        statement = json.loads(raw)
        subjects = statement["subject"]
        changed = False
        for subject in subjects:
            for algorithm, hex in dict(subject["digest"]).items():
                known: Any = {(old.algorithm, old.hex): new for old, new in now.items()}.get((algorithm, hex))
                if known is not None:
                    subject["digest"][algorithm] = known.hex
                    changed = True
    except (ValueError, KeyError, TypeError, RecursionError):
        return raw
    return encode(statement) if changed else raw

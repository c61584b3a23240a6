"""Which layer of a store a person means by a digest, or by the beginning of one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from layers.errors import DigestInvalid, NameAmbiguous
from layers.oci.digest import DiffID, Digest

if TYPE_CHECKING:
    from layers.home.store import Store
    from layers.oci.image import Image

PREFIX = re.compile(r"(?:sha256:)?[0-9a-f]{12,64}\Z")
"""Twelve digits, as `docker history` and `images` show, are enough; fewer would meet names of images."""


def layer(store: Store, text: str) -> DiffID | None:
    """The layer whose DiffID or compressed digest is `text`, or begins so; None if no layer here does.

    Raises NameAmbiguous if several do.
    """
    if not PREFIX.match(text):
        return None
    try:
        digest = Digest.parse(text if text.startswith("sha256:") else f"sha256:{text}")
    except DigestInvalid:
        pass
    else:
        diff_id = store.variants.diff_id(digest) or digest
        return diff_id if store.here(diff_id) and _is_layer(store, diff_id) else None
    names: dict[DiffID, set[Digest]] = {}
    for image in store.images.list():
        for diff_id, blob in zip(image.config.diff_ids, image.manifest.layers, strict=True):
            forms = store.variants.forms(diff_id) if diff_id not in names else ()
            names.setdefault(diff_id, {diff_id}).update((blob.digest, *(form.digest for form in forms)))
    return choose(text, names)


def choose(text: str, names: Mapping[DiffID, Iterable[Digest]]) -> DiffID | None:
    """The layer of which a digest begins so, or None. Raises NameAmbiguous."""
    start = text.removeprefix("sha256:")
    found = [diff_id for diff_id, digests in names.items() if any(digest.hex.startswith(start) for digest in digests)]
    if len(found) > 1:
        raise NameAmbiguous(text, tuple(map(str, sorted(found))))
    return found[0] if found else None


def home(store: Store, diff_id: DiffID) -> Image | None:
    """The newest image that has a layer, if there is one."""
    return next((image for image in store.images.list() if diff_id in image.config.diff_ids), None)


def _is_layer(store: Store, digest: Digest) -> bool:
    """True if a blob that is no compressed form is no document either."""
    documents = "SELECT 1 FROM document WHERE digest = ? UNION SELECT 1 FROM image WHERE config = ?"
    return store.db.row(documents, str(digest), str(digest)) is None

"""Under which digests registries know what was sent there: layers lie raw in the store, so it is another than here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layers.oci.digest import Digest
from layers.oci.reference import Reference

if TYPE_CHECKING:
    from layers.home.store import Store


def note(store: Store, was: Digest, name: Reference) -> None:
    """Remember that the manifest or index `was` of the store is `name`, a repository and a digest."""
    if store.db.barred is None:
        known = names(store, was)
        if name not in known:
            store.records.keep(f"sent:{was.hex}", {"names": [str(one) for one in (*known, name)]})


def names(store: Store, was: Digest) -> tuple[Reference, ...]:
    """All that are remembered, in the order in which they were sent."""
    found = store.records.peek(f"sent:{was.hex}")
    return tuple(map(Reference.parse, found.value["names"])) if found is not None else ()

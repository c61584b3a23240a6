"""Which rows of a store nobody needs: names, images, cache records, by age, use, labels and size.

Decided from the rows of one moment, inside the transaction that drops them; whatever has to be read or measured for
that is read before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from layers.errors import LayerError
from layers.home.rows import Rows
from layers.home.sizes import Weights
from layers.oci.digest import Digest
from layers.oci.documents import ImageConfig
from layers.quick import dataclass, replace

if TYPE_CHECKING:
    from layers.home.store import Store

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Choice:
    """What may go, of what nobody needs. Moments are seconds since the epoch.

    `all`: named images and every record as well. `until`: images added and records used no later. `unused`: images
    and records used no later. `labelled`: images whose labels it accepts, and no records. `keep`: bytes of the cache
    that may stay; the records that were used longest ago go first.
    """

    all: bool = False
    images: bool = True
    cache: bool = True
    until: float | None = None
    unused: float | None = None
    labelled: Callable[[Labels], bool] | None = None
    keep: int | None = None

    @property
    def before(self) -> float | None:
        """The earlier of the two moments."""
        return min((moment for moment in (self.until, self.unused) if moment is not None), default=None)


@dataclass(frozen=True, slots=True)
class Plan:
    """Rows that are to go: names, documents, records."""

    rows: Rows
    names: set[str]
    documents: set[str]
    records: set[str]

    @property
    def ids(self) -> set[str]:
        """Configs of images of which nothing stays."""
        gone = {image.config for manifest, image in self.rows.images.items() if manifest in self.documents}
        return gone - {image.config for manifest, image in self.rows.images.items() if manifest not in self.documents}

    @property
    def left(self) -> Rows:
        """The rows that stay."""
        rows, gone = self.rows, self.documents | self.records
        return replace(
            rows,
            names={name: target for name, target in rows.names.items() if name not in self.names},
            documents=rows.documents - self.documents,
            images={manifest: image for manifest, image in rows.images.items() if manifest not in self.documents},
            edges={parent: children for parent, children in rows.edges.items() if parent not in gone},
            records={key: used for key, used in rows.records.items() if key not in self.records},
        )

    def kinds(self) -> Callable[[str], str]:
        """A function that says what kind of thing a blob that goes was."""
        by_images = self.rows.with_forms(self.rows.reach(self.rows.documents))
        by_cache = self.rows.with_forms(self.rows.reach(self.rows.records))
        return lambda text: "images" if text in by_images else "cache" if text in by_cache else "leftovers"


class Planner:
    """Decides what goes; what it has to read or measure for that, it does before any transaction."""

    def __init__(self, store: Store, choice: Choice) -> None:
        self._choice = choice
        self._weights = None if choice.keep is None else Weights.measure(store)
        self._chosen: set[str] | None = None
        if choice.labelled is not None:
            self._chosen = set()
            for manifest, config in store.db.rows("SELECT manifest, config FROM image"):
                with suppress(LayerError):
                    labels = ImageConfig.parse(store.blobs.read(Digest.parse(config))).runtime.get("Labels") or {}
                    if choice.labelled(labels):
                        self._chosen.add(manifest)

    def plan(self, rows: Rows) -> Plan:
        """The rows to drop."""
        names, documents = self._images(rows) if self._choice.images else (set[str](), set[str]())
        records = self._records(rows, documents) if self._choice.cache and self._chosen is None else set[str]()
        return Plan(rows, names, documents, records)

    def _images(self, rows: Rows) -> tuple[set[str], set[str]]:
        """Names to drop, and documents (manifests, indexes) to forget."""
        choice = self._choice
        wanted = rows.used | {
            manifest
            for manifest, image in rows.images.items()
            if (choice.until is not None and image.added > choice.until)
            or (choice.unused is not None and image.used > choice.unused)
            or (self._chosen is not None and manifest not in self._chosen)
        }
        kept = {
            name
            for name, target in rows.names.items()
            if not choice.all or target in rows.leased or not wanted.isdisjoint(rows.reach((target,)))
        }
        roots = {rows.names[name] for name in kept} | wanted | (rows.documents & (rows.leased | rows.pinned))
        return set(rows.names) - kept, set(rows.documents - rows.reach(roots))

    def _records(self, rows: Rows, gone: set[str]) -> set[str]:
        """Keys of records to drop, when the documents in `gone` are."""
        choice = self._choice
        limits = [moment for moment in (choice.until, choice.unused) if moment is not None]
        held = rows.reach((*(rows.documents - gone), *rows.leased, *rows.pinned))
        found = {
            key
            for key, used in rows.records.items()
            if all(used <= moment for moment in limits) and (choice.all or not held.issuperset(rows.edges.get(key, ())))
        }
        return found if self._weights is None else self._beyond(rows, found, held, self._weights)

    def _beyond(self, rows: Rows, candidates: set[str], held: set[str], weights: Weights) -> set[str]:
        """Of these records, those that were used longest ago, until the cache takes no more than it may."""
        forms: dict[str, int] = {}
        for digest, diff_id in rows.variants.items():
            forms[diff_id] = forms.get(diff_id, 0) + weights.of.get(digest, 0)
        users = Counter(layer for key in rows.records for layer in rows.edges.get(key, ()) if layer not in held)
        size = {layer: weights.of.get(layer, 0) + forms.get(layer, 0) for layer in users}
        total = sum(size.values())
        gone = set()
        for key in sorted(candidates, key=lambda key: (rows.records[key], key)):
            if total <= (self._choice.keep or 0):
                break
            layers = [layer for layer in rows.edges.get(key, ()) if layer in size]
            if layers:
                gone.add(key)
            for layer in layers:
                users[layer] -= 1
                total -= 0 if users[layer] else size[layer]
        return gone

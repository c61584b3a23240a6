"""What needs what: the rows of a store, read in one transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from typing import NamedTuple

from layers.quick import dataclass

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from sqlite3 import Connection


class ImageRow(NamedTuple):
    """An image: the digest of its config, when it was added and last used (seconds since the epoch)."""

    config: str
    added: float
    used: float


@dataclass(frozen=True)
class Rows:
    """Everything that can keep a blob, at one moment; digests as text."""

    names: Mapping[str, str]
    """Name → document."""
    documents: frozenset[str]
    images: Mapping[str, ImageRow]
    """By manifest."""
    edges: Mapping[str, tuple[str, ...]]
    referrers: Mapping[str, tuple[str, ...]]
    """Document → what was pushed about it: signatures, bills of materials. They stay as long as it does."""
    records: Mapping[str, float]
    """Key → when it was last used."""
    variants: Mapping[str, str]
    """Compressed blob → DiffID."""
    leased: frozenset[str]
    pinned: frozenset[str]

    @classmethod
    def read(cls, db: Connection, besides: Collection[str] = ()) -> Rows:
        """All of them, as if there were no containers `besides`."""
        edges: dict[str, list[str]] = {}
        for parent, child in db.execute("SELECT parent, child FROM edge"):
            edges.setdefault(parent, []).append(child)
        referrers: dict[str, list[str]] = {}
        for subject, digest in db.execute("SELECT subject, digest FROM served WHERE subject IS NOT NULL"):
            referrers.setdefault(subject, []).append(digest)
        return cls(
            dict(db.execute("SELECT name, digest FROM ref")),
            frozenset(text for (text,) in db.execute("SELECT digest FROM document")),
            {row[0]: ImageRow(*row[1:]) for row in db.execute("SELECT manifest, config, added, used FROM image")},
            {parent: tuple(children) for parent, children in edges.items()},
            {subject: tuple(digests) for subject, digests in referrers.items()},
            dict(db.execute("SELECT key, used FROM record")),
            dict(db.execute("SELECT digest, diff_id FROM variant")),
            frozenset(text for (text,) in db.execute("SELECT digest FROM lease")),
            pins(db, besides),
        )

    @cached_property
    def used(self) -> frozenset[str]:
        """Manifests of images that a container or a process needs now."""
        roots = self.leased | self.pinned
        return frozenset(
            manifest for manifest, image in self.images.items() if manifest in roots or image.config in roots
        )

    def reach(self, roots: Iterable[str]) -> set[str]:
        """The roots, all that they hold together, and what is attached to it."""
        found: set[str] = set()
        todo = list(roots)
        while todo:
            text = todo.pop()
            if text not in found:
                found.add(text)
                todo += (*self.edges.get(text, ()), *self.referrers.get(text, ()))
        return found

    def with_forms(self, found: set[str]) -> set[str]:
        """These and the compressed forms of the layers among them."""
        return found | {digest for digest, diff_id in self.variants.items() if diff_id in found}

    def live(self, *, forms: bool) -> set[str]:
        """All that has to stay; compressed forms of its layers too, if `forms`."""
        found = self.reach((*self.documents, *self.records, *self.leased, *self.pinned))
        return self.with_forms(found) if forms else found


def pins(db: Connection, besides: Collection[str] = ()) -> frozenset[str]:
    """The digests that containers need, but for those `besides`."""
    rows = db.execute("SELECT id, pins FROM container").fetchall()
    return frozenset(text for name, texts in rows if name not in besides for text in texts.split())

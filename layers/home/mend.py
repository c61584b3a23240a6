"""Mending a store: what can be made again is made, what is damaged is put aside, what lacks the rest is given up.

In this order, so that nothing is given up that a later step could have saved: damaged bytes are renamed to `damaged/`
(prune empties it), raw tars and compressed layers are made of each other, manifests are written anew for images whose
config and raw tars are whole, and only then images go, with their names, which the report repeats.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from layers.disk import durable
from layers.errors import DocumentInvalid, LayerError
from layers.home.damage import Damage, Findings, Kind
from layers.home.images import forget, learn
from layers.home.ingest import compress, diff_id_of, ingest
from layers.home.measure import Reader, Tally
from layers.home.room import full_disk_explained
from layers.home.rows import Rows
from layers.oci import mediatypes
from layers.oci.descriptor import Descriptor
from layers.oci.digest import Digest
from layers.oci.documents import ImageConfig, Index, Manifest, is_image
from layers.oci.image import NewLayer, describe
from layers.oci.reference import Reference
from layers.quick import replace

if TYPE_CHECKING:
    from layers.home.store import Store

NAMES_OF_IT_ALONE = """
    SELECT name FROM ref WHERE digest = ?1
    UNION SELECT r.name FROM ref r JOIN edge e ON e.parent = r.digest WHERE e.child = ?1 AND NOT EXISTS (
        SELECT 1 FROM edge o JOIN image i ON i.manifest = o.child WHERE o.parent = e.parent AND o.child <> ?1)
"""
"""Names that lead to a manifest, straight or through an index of which it is the only image that is here."""


def mend(store: Store, found: Findings) -> Findings:
    """Repair what was found; the same findings, each with what was done. Raises StoreReadOnly, StoreFull."""
    with store.lock("mend"), full_disk_explained(store.root):
        store.sweep()
        mending = Mending(store, found)
        aside = [mending.put_aside(damage) for damage in found.damages]
        made = mending.make_again()
        told = [mending.settle(damage, made) for damage in aside]
        mending.forget_records()
        return replace(found, damages=tuple(told))


class Mending:
    """One repair."""

    def __init__(self, store: Store, found: Findings) -> None:
        self._store = store
        self._lies = {damage.where for damage in found.damages if damage.kind is Kind.FORM}
        """Compressed layers that hold something else than they should."""

    def put_aside(self, damage: Damage) -> Damage:
        """Take damaged bytes out of the way; they are kept for whoever wants to look at them."""
        if damage.kind is Kind.BLOB:
            digest = Digest.parse(damage.where)
            if any(met == damage.where for _, _, met in Reader(self._store.blobs, Tally(None)).hashed([digest])):
                return replace(damage, repaired="somebody has replaced it: it is whole")
            path = self._store.blobs.path(digest)
        elif damage.kind is Kind.STRANGER:
            path = self._store.root / damage.where
        else:
            return damage
        folder = self._store.root / "damaged"
        durable.make(folder, 0o700)
        target = folder / f"{path.parent.name}.{path.name}"
        with suppress(FileNotFoundError):
            os.rename(path, target)
        durable.sync(path.parent)
        return replace(damage, repaired=f"moved to {target.relative_to(self._store.root)}")

    def make_again(self) -> set[str]:
        """Make what is missing of what is here, raw tars before compressed layers; what is here again."""
        with self._store.db.reading() as db:
            rows = Rows.read(db)
            forms = db.execute("SELECT digest, diff_id, codec, level FROM variant").fetchall()
        wanted = rows.reach((*rows.documents, *rows.records, *rows.pinned)) - rows.records.keys()
        lost = {text for text in wanted if not self._store.blobs.has(Digest.parse(text))}
        made = {text for text in lost if any(self._inflated(text, form) for form in self._forms(text))}
        for text, diff_id, codec, level in forms:
            if text in lost and level is not None and self._store.blobs.has(Digest.parse(diff_id)):
                digest, _, _ = compress(self._store.blobs, Digest.parse(diff_id), codec, level)
                if str(digest) == text:  # another version of the compressor may have written it
                    made.add(text)
        return made

    def _forms(self, text: str) -> list[Descriptor]:
        forms = self._store.variants.forms(Digest.parse(text))
        return [form for form in forms if str(form.digest) not in self._lies]

    def _inflated(self, text: str, form: Descriptor) -> bool:
        with suppress(LayerError):
            return str(ingest(self._store, form)) == text
        return False

    def settle(self, damage: Damage, made: set[str]) -> Damage:
        """Deal with one damage, now that all that could be made again is here."""
        deal: dict[Kind, Callable[[Damage], Damage]] = {
            Kind.DATABASE: self._database,
            Kind.IMAGE: self._image,
            Kind.NAME: self._name,
            Kind.TABLE: self._table,
            Kind.FORM: self._form,
            Kind.RECORD: self._record,
            Kind.CONTAINER: self._container,
        }
        if damage.kind in deal:
            return deal[damage.kind](damage)
        return replace(damage, repaired="made again from another form of it") if damage.where in made else damage

    def _database(self, damage: Damage) -> Damage:
        with suppress(LayerError):
            with self._store.db.write(durable=True) as db:
                db.execute("REINDEX")
            if self._store.db.rows("PRAGMA integrity_check") == [("ok",)]:
                return replace(damage, repaired="its indexes were made anew")
        return damage

    def _image(self, damage: Damage) -> Damage:
        """An image or another document: whole again, with another manifest, or given up."""
        row = self._store.db.row("SELECT media_type FROM document WHERE digest = ?", damage.where)
        if row is None:
            return replace(damage, repaired="it was removed meanwhile")
        document, kind = Digest.parse(damage.where), row[0]
        if done := self._remembered(document, kind) or self._written_anew(document):
            return replace(damage, repaired=done)
        with self._store.db.write(durable=True) as db:
            names = sorted(db.execute(NAMES_OF_IT_ALONE, (damage.where,)).fetchall())
            forget(db, damage.where)
            db.executemany("DELETE FROM ref WHERE name = ?", names)
        lost = tuple(Reference.parse(name, default_tag=False).familiar for (name,) in names) or (damage.where,)
        return replace(damage, repaired="given up with its names", lost=lost, remedy="pull or build it again")

    def _remembered(self, document: Digest, kind: str) -> str:
        """Let the rows say what the document says, if all that it needs is here; what was done."""
        with suppress(LayerError):
            raw = self._store.blobs.read(document)
            children, config = self._needs(raw, kind)
            if all(map(self._store.blobs.has, children)) or kind in mediatypes.INDEXES:
                with self._store.db.write(durable=True) as db:
                    query = "SELECT added, used FROM image WHERE manifest = ?"
                    times = db.execute(query, (str(document),)).fetchone() or (time.time(), time.time())
                    for table, column in (("image", "manifest"), ("edge", "parent"), ("document", "digest")):
                        db.execute(f"DELETE FROM {table} WHERE {column} = ?", (str(document),))
                    learn(db, Descriptor(kind, document, len(raw)), children)
                    if config is not None:
                        db.execute("INSERT INTO image VALUES (?, ?, ?, ?)", (str(document), str(config), *times))
                return "it is whole again"
        return ""

    def _needs(self, raw: bytes, kind: str) -> tuple[list[Digest], Digest | None]:
        """What a document holds together, and the config if it is an image. Raises LayerError for what is no such."""
        if kind in mediatypes.INDEXES:
            return [entry.digest for entry in Index.parse(raw, kind).manifests], None
        manifest = Manifest.parse(raw, kind)
        children = [blob.digest for blob in (manifest.config, *manifest.layers)]
        if not is_image(manifest):
            return children, None
        config = ImageConfig.parse(self._store.blobs.read(manifest.config.digest))
        if tuple(diff_id_of(self._store, layer) for layer in manifest.layers) != config.diff_ids:
            raise DocumentInvalid("manifest", "its layers are not those of its config")
        return [*children, *config.diff_ids], config.digest

    def _written_anew(self, document: Digest) -> str:
        """Keep an image whose config and raw tars are here under another manifest; what was done."""
        with suppress(LayerError):
            text = str(document)
            row = self._store.db.row("SELECT config FROM image WHERE manifest = ?", text)
            if row is None:
                return ""
            config = ImageConfig.parse(self._store.blobs.read(Digest.parse(row[0])))
            layers = [NewLayer(diff_id, self._store.blobs.size(diff_id)).descriptor for diff_id in config.diff_ids]
            names = self._store.db.rows(NAMES_OF_IT_ALONE, text)
            references = [Reference.parse(name, default_tag=False) for (name,) in names]
            made = self._store.images.add(describe(config, layers), config, references)
            if made.manifest.descriptor.digest == document:
                return "its manifest was written anew"
            with self._store.db.write(durable=True) as db:
                again = str(made.manifest.descriptor.digest)
                db.execute("UPDATE OR IGNORE served SET digest = ? WHERE digest = ?", (again, text))
                forget(db, text)
            return f"kept under another manifest, {made.target.digest}, of uncompressed layers"
        return ""

    def _name(self, damage: Damage) -> Damage:
        self._store.images.untag(Reference.parse(damage.where, default_tag=False))
        return replace(damage, repaired="the name was dropped", lost=(damage.where,))

    def _table(self, damage: Damage) -> Damage:
        (self._store.root / damage.where).unlink(missing_ok=True)
        return replace(damage, repaired="dropped; it is made anew from its tar when needed")

    def _form(self, damage: Damage) -> Damage:
        with self._store.db.write() as db:
            db.execute("DELETE FROM variant WHERE digest = ?", (damage.where,))
        return replace(damage, repaired="no longer believed")

    def _record(self, damage: Damage) -> Damage:
        self._store.records.forget(damage.where)
        return replace(damage, repaired="forgotten")

    def _container(self, damage: Damage) -> Damage:
        """Whole again if all that it stands on is."""
        name = damage.where.removeprefix("containers/")
        with suppress(ValueError, LayerError):
            for pins, settings in self._store.db.rows("SELECT pins, settings FROM container WHERE id = ?", name):
                json.loads(settings)
                if all(self._store.blobs.has(Digest.parse(text)) for text in pins.split()):
                    return replace(damage, repaired="what it stands on was made again")
        return damage

    def forget_records(self) -> None:
        """Drop cache records whose layers are gone."""
        with self._store.db.reading() as db:
            rows = Rows.read(db)
        for key in rows.records:
            if not all(self._store.blobs.has(Digest.parse(text)) for text in rows.edges.get(key, ())):
                self._store.records.forget(key)

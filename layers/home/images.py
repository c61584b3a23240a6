"""Images and their names: which manifests are here whole, and what each name points to.

Documents are blobs; here are only the rows that find them. An image is added in one transaction
after its config and its layers are here, so whatever is listed can be used.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from layers.errors import BlobMissing, NameAmbiguous, PlatformMissing, ReferenceInvalid
from layers.home.blobs import Blobs
from layers.home.db import FRESH, Database
from layers.oci import mediatypes
from layers.oci.descriptor import Descriptor
from layers.oci.digest import HEX, Digest
from layers.oci.documents import ImageConfig, Index, Manifest
from layers.oci.image import Image
from layers.oci.platform import Platform
from layers.oci.reference import Reference
from layers.quick import replace

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from sqlite3 import Connection
    from typing import Any


def is_short(text: str) -> bool:
    """Whether it may be the beginning of an id."""
    return 2 <= len(text) <= 64 and HEX.issuperset(text)


class Images:
    """The images of one store."""

    def __init__(self, db: Database, blobs: Blobs, claim: Callable[..., None]) -> None:
        self._db = db
        self._blobs = blobs
        self._claim = claim
        self._where = f"the store {blobs.root.parent}"

    # -- finding ---------------------------------------------------------------------------------

    def get(self, text: str, platform: Platform | None = None) -> Image:
        """The image that a person means: a digest, a name, or the first digits of an id.

        Raises BlobMissing, NameAmbiguous, PlatformMissing, ReferenceInvalid.
        """
        if text.startswith("sha256:"):
            if len(text) < len("sha256:") + 64 and is_short(start := text.removeprefix("sha256:")):
                if found := self._by_prefix(start, platform):
                    return found
                raise BlobMissing(f"image {text}", self._where)
            if found := self._by_digest(Digest.parse(text), platform):
                return found
            raise BlobMissing(f"image {text}", self._where)
        invalid: ReferenceInvalid | None = None
        try:
            if found := self.find(Reference.parse(text), platform):
                return found
        except ReferenceInvalid as error:
            invalid = error
        if is_short(text):
            if found := self._by_prefix(text, platform):
                return found
        elif invalid is not None:
            raise invalid
        raise BlobMissing(f"image {text}", self._where)

    def find(self, reference: Reference, platform: Platform | None = None) -> Image | None:
        """The image of a name, or None. Raises PlatformMissing."""
        target = self.target(reference)
        return None if target is None else self._chosen(target, platform)

    def target(self, reference: Reference) -> Descriptor | None:
        """What a name points to; a digest in it decides."""
        if reference.digest is not None:
            return self.document(reference.digest)
        return pointer(self._db.row("SELECT digest, media_type, size FROM ref WHERE name = ?", str(reference)))

    def document(self, digest: Digest) -> Descriptor | None:
        """The descriptor of a manifest or index that is here, by its digest."""
        row = self._db.row("SELECT media_type, size FROM document WHERE digest = ?", str(digest))
        if row is None:
            return None
        self._claim(digest)
        return Descriptor(row[0], digest, row[1]) if self._blobs.has(digest) else None

    def list(self) -> tuple[Image, ...]:
        """Every image once, with all its names, the newest first; unnamed ones too."""
        names = self._names()
        found: dict[Digest, Image] = {}
        for manifest, kind, size, config in self._db.rows(
            "SELECT i.manifest, d.media_type, d.size, i.config FROM image i JOIN document d ON d.digest = i.manifest"
        ):
            try:
                target = Descriptor(kind, Digest.parse(manifest), size)
                image = self._read(target, Digest.parse(config), names.get(manifest, ()))
            except BlobMissing:
                continue  # removed by another process a moment ago
            if before := found.get(image.id):
                image = replace(image, references=tuple(dict.fromkeys((*before.references, *image.references))))
            found[image.id] = image
        return tuple(sorted(found.values(), key=lambda image: (image.created or "", str(image.id)), reverse=True))

    def added(self) -> dict[Digest, float]:
        """When each image came into the store, by the digest of its manifest; seconds since the epoch."""
        return {Digest.parse(manifest): at for manifest, at in self._db.rows("SELECT manifest, added FROM image")}

    def names(self) -> tuple[tuple[Reference, Descriptor], ...]:
        """Every name and what it points to, sorted."""
        rows = self._db.rows("SELECT name, digest, media_type, size FROM ref ORDER BY name")
        return tuple(
            (Reference.parse(name, default_tag=False), Descriptor(kind, Digest.parse(digest), size))
            for name, digest, kind, size in rows
        )

    def names_of(self, image_id: Digest) -> tuple[Reference, ...]:
        """Every name that leads to an image, whichever of its manifests that is through."""
        rows = self._db.rows("SELECT manifest FROM image WHERE config = ?", str(image_id))
        found = {name for (manifest,) in rows for name in self._names_of(Digest.parse(manifest))}
        return tuple(sorted(found, key=str))

    # -- changing --------------------------------------------------------------------------------

    def add(self, manifest: Manifest, config: ImageConfig, names: Sequence[Reference] = ()) -> Image:
        """Keep an image whose layers are here, under these names, which leave what they pointed to before.

        Raises BlobMissing for a layer that is not here.
        """
        target = manifest.descriptor
        self._claim(target.digest, config.digest, *config.diff_ids, *(layer.digest for layer in manifest.layers))
        for diff_id in config.diff_ids:
            if not self._blobs.has(diff_id):
                raise BlobMissing(f"layer {diff_id}", self._where)
        self._blobs.keep(config.raw, manifest.config.media_type)
        self._blobs.keep(manifest.raw, manifest.media_type)
        children = [config.digest, *config.diff_ids, *(layer.digest for layer in manifest.layers)]
        self._blobs.settle()
        with self._db.write(durable=True) as db:
            learn(db, target, children)
            now = time.time()
            db.execute(
                "INSERT OR IGNORE INTO image VALUES (?, ?, ?, ?)", (str(target.digest), str(config.digest), now, now)
            )
            for name in names:
                point(db, name, target)
        return self._load(target)

    def learn(self, target: Descriptor, children: Iterable[Digest]) -> None:
        """Note a document that is no image of ours (an index, an artifact) and what it holds together."""
        self._blobs.settle()
        with self._db.write(durable=True) as db:
            learn(db, target, children)

    def tag(self, reference: Reference, target: Descriptor) -> Descriptor | None:
        """Let a name point to a document that is here; what it pointed to before. Raises BlobMissing."""
        self._claim(target.digest)
        if self.document(target.digest) is None:
            raise BlobMissing(f"{target.digest}", self._where)
        with self._db.write(durable=True) as db:
            row = db.execute("SELECT digest, media_type, size FROM ref WHERE name = ?", (str(reference),)).fetchone()
            point(db, reference, target)
        return pointer(row)

    def untag(self, reference: Reference) -> Descriptor | None:
        """Drop a name, and nothing else; what it pointed to."""
        with self._db.write(durable=True) as db:
            row = db.execute("SELECT digest, media_type, size FROM ref WHERE name = ?", (str(reference),)).fetchone()
            db.execute("DELETE FROM ref WHERE name = ?", (str(reference),))
        return pointer(row)

    def remove(self, image_id: Digest) -> tuple[Reference, ...]:
        """Drop an image and all its names; its bytes go with the next sweep. The names it had."""
        with self._db.write(durable=True) as db:
            rows = db.execute("SELECT manifest FROM image WHERE config = ?", (str(image_id),)).fetchall()
            holders = {text for (text,) in rows}
            for text in list(holders):
                holders.update(
                    parent
                    for (parent,) in db.execute(
                        "SELECT e.parent FROM edge e JOIN document d ON d.digest = e.parent WHERE e.child = ?", (text,)
                    )
                )
            dropped = []
            for text in holders:
                dropped += db.execute("SELECT name FROM ref WHERE digest = ?", (text,)).fetchall()
                db.execute("DELETE FROM ref WHERE digest = ?", (text,))
                forget(db, text)
        return tuple(Reference.parse(name, default_tag=False) for (name,) in sorted(dropped))

    def drop(self, manifest: Digest) -> None:
        """Forget one image of an index, whose names stay for the others."""
        with self._db.write(durable=True) as db:
            forget(db, str(manifest))

    # -- inside ----------------------------------------------------------------------------------

    def _names(self) -> dict[str, tuple[Reference, ...]]:
        """Names by the manifest that they lead to, straight or through an index."""
        found: dict[str, list[Reference]] = {}
        rows = self._db.rows(
            "SELECT r.digest, r.name FROM ref r UNION ALL "
            "SELECT e.child, r.name FROM ref r JOIN edge e ON e.parent = r.digest JOIN image i ON i.manifest = e.child "
            "ORDER BY 2"
        )
        for digest, name in rows:
            found.setdefault(digest, []).append(Reference.parse(name, default_tag=False))
        return {digest: tuple(names) for digest, names in found.items()}

    def _names_of(self, manifest: Digest) -> tuple[Reference, ...]:
        """The names that lead to one manifest."""
        rows = self._db.rows(
            "SELECT name FROM ref WHERE digest = ?1 UNION "
            "SELECT r.name FROM edge e JOIN ref r ON r.digest = e.parent WHERE e.child = ?1 ORDER BY 1",
            str(manifest),
        )
        return tuple(Reference.parse(name, default_tag=False) for (name,) in rows)

    def _by_digest(self, digest: Digest, platform: Platform | None) -> Image | None:
        """An image by its id, or by the digest of its manifest or index."""
        rows = self._db.rows(
            "SELECT d.digest, d.media_type, d.size FROM image i JOIN document d ON d.digest = i.manifest "
            "WHERE i.config = ? ORDER BY i.added DESC",
            str(digest),
        )
        if rows:
            return self._chosen(Descriptor(rows[0][1], Digest.parse(rows[0][0]), rows[0][2]), platform)
        target = self.document(digest)
        return None if target is None else self._chosen(target, platform)

    def _by_prefix(self, text: str, platform: Platform | None) -> Image | None:
        rows = self._db.rows(
            "SELECT DISTINCT config FROM image WHERE config >= ? AND config < ? LIMIT 9",
            f"sha256:{text}",
            f"sha256:{text}g",
        )
        if len(rows) > 1:
            raise NameAmbiguous(text, tuple(row[0] for row in rows))
        return self._by_digest(Digest.parse(rows[0][0]), platform) if rows else None

    def _chosen(self, target: Descriptor, platform: Platform | None) -> Image:
        """The image of a manifest, or the one of an index that fits."""
        if target.media_type in mediatypes.INDEXES:
            return self._load(self._pick(target, platform), target)
        image = self._load(target)
        if platform is not None and not platform.accepts(image.config.platform):
            raise PlatformMissing(str(platform), (str(image.config.platform),))
        return image

    def _pick(self, target: Descriptor, platform: Platform | None) -> Descriptor:
        """The entry of an index: of the platform asked for; else the host's; else the only one that is here."""
        index = Index.parse(self._blobs.read(target.digest), target.media_type)
        here = [
            entry
            for entry in index.manifests
            if self._db.row("SELECT 1 FROM image WHERE manifest = ?", str(entry.digest))
        ]
        if platform is None:
            with suppress(PlatformMissing):
                return Index.build(here).choose(Platform.host())
            if len(here) == 1:
                return here[0]
            raise PlatformMissing(str(Platform.host()), tuple(str(entry.platform) for entry in here))
        wanted = index.choose(platform)
        if wanted not in here:
            there = ", ".join(str(entry.platform) for entry in here) or "none"
            raise BlobMissing(f"the image of {target.digest} for {platform} (of it are here: {there})", self._where)
        return wanted

    def _load(self, target: Descriptor, pointer: Descriptor | None = None) -> Image:
        """An image that will be used: all that it needs is claimed for this process, and the use is noted."""
        children = self._db.rows("SELECT child FROM edge WHERE parent = ?", str(target.digest))
        self._claim(target.digest, *(Digest.parse(text) for (text,) in children))  # all with one write
        row = self._db.row("SELECT config, used FROM image WHERE manifest = ?", str(target.digest))
        if row is None:
            raise BlobMissing(f"an image with manifest {target.digest}", self._where)
        image = self._read(target, Digest.parse(row[0]), self._names_of(target.digest))
        now = time.time()
        if not 0 <= now - row[1] < FRESH and self._db.barred is None:
            with self._db.write() as db:
                db.execute("UPDATE image SET used = ? WHERE manifest = ?", (now, str(target.digest)))
        self._claim(image.id, *image.config.diff_ids, *(layer.digest for layer in image.manifest.layers))
        return replace(image, target=pointer or target)

    def _read(self, target: Descriptor, config_digest: Digest, names: tuple[Reference, ...]) -> Image:
        manifest = Manifest.parse(self._blobs.read(target.digest), target.media_type)
        config = ImageConfig.parse(self._blobs.read(config_digest))
        size = sum(self._blobs.size(diff_id) for diff_id in config.diff_ids)
        return Image(config.digest, target, manifest, config, names, size, config.created)


def pointer(row: tuple[Any, ...] | None) -> Descriptor | None:
    """A row (digest, media type, size) as a descriptor."""
    return Descriptor(row[1], Digest.parse(row[0]), row[2]) if row else None


def learn(db: Connection, target: Descriptor, children: Iterable[Digest]) -> None:
    """Note a document and what it holds together, inside a transaction."""
    parent = str(target.digest)
    db.execute("INSERT OR IGNORE INTO document VALUES (?, ?, ?)", (parent, target.media_type, target.size))
    db.executemany("INSERT OR IGNORE INTO edge VALUES (?, ?)", [(parent, str(child)) for child in children])


def forget(db: Connection, document: str) -> None:
    """Drop the rows of a document, inside a transaction."""
    db.execute("DELETE FROM image WHERE manifest = ?", (document,))
    db.execute("DELETE FROM edge WHERE parent = ?", (document,))
    db.execute("DELETE FROM served WHERE digest = ?", (document,))
    db.execute("DELETE FROM document WHERE digest = ?", (document,))


def point(db: Connection, name: Reference, target: Descriptor) -> None:
    """Let a name point somewhere, inside a transaction."""
    row = (str(name), str(target.digest), target.media_type, target.size)
    db.execute("INSERT OR REPLACE INTO ref VALUES (?, ?, ?, ?)", row)

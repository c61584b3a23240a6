"""Is everything in the store what its name says, and is everything here that a row promises?

Nothing is written, and others work on: what vanishes meanwhile was pruned. What a killed process or a power cut may
leave (scratch, a torn table of contents, records whose layers are gone) is no damage but a leftover, which the next use
or prune deals with. `layers.home.mend` repairs what is found here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from layers.disk.boot import boot_id
from layers.disk.locks import is_locked
from layers.errors import ArchiveInvalid, BlobMismatch, BlobMissing, LayerError
from layers.home.containers import bodiless, homeless
from layers.home.damage import REPAIR, Damage, Findings, Kind
from layers.home.measure import Progress, Reader, Tally
from layers.home.rows import Rows
from layers.oci import mediatypes
from layers.oci.digest import LENGTHS, Digest
from layers.oci.documents import ImageConfig, Index, Manifest
from layers.quick import replace

if TYPE_CHECKING:
    from layers.home.store import Store


def check(store: Store, *, repair: bool = False, quick: bool = False, progress: Progress | None = None) -> Findings:
    """Look at every row, file and link; unless `quick`, read every blob (compressed layers twice) and table as well.

    With `repair`, what was found is mended (`layers.home.mend`).
    """
    found = Look(store, quick=quick, progress=progress).findings()
    if not (repair and found.damages):
        return found
    from layers.home.mend import mend

    return mend(store, found)


class Look:
    """One walk through a store."""

    def __init__(self, store: Store, *, quick: bool, progress: Progress | None = None) -> None:
        self._store = store
        self._quick = quick
        self._tally = Tally(progress)
        self._reader = Reader(store.blobs, self._tally)
        self._bytes = 0
        self._bad: set[str] = set()
        with store.db.reading() as db:
            self._rows = Rows.read(db)
            self._kinds = {
                text: (kind, size) for text, kind, size in db.execute("SELECT digest, media_type, size FROM document")
            }
            self._forms = {
                text: (of, size) for text, of, size in db.execute("SELECT digest, diff_id, size FROM variant")
            }
            self._snapshots = dict(db.execute("SELECT chain, boot_id FROM snapshot"))

    def findings(self) -> Findings:
        """All that is wrong, causes before what follows from them."""
        blobs = list(self._listed())
        forms = filter(self._store.blobs.has, map(Digest.parse, self._forms))
        self._tally.total = self._reader.size(blobs) + self._reader.size(forms)
        damages = [*self._database(), *self._strangers(), *self._spoiled(blobs), *self._misnamed(), *self._lacking()]
        damages += [*self._documents(), *self._astray(), *self._tables(), *self._records(), *self._containers()]
        told = [replace(damage, needed=self._needing(damage.where)) for damage in damages]
        return Findings(len(blobs), self._bytes, tuple(told), tuple(self._leftovers()))

    def _needing(self, where: str) -> tuple[str, ...]:
        """Names that lead to a digest."""
        return tuple(sorted(name for name, reached in self._reached.items() if where in reached))

    @cached_property
    def _reached(self) -> dict[str, set[str]]:
        return {name: self._rows.reach((target,)) for name, target in self._rows.names.items()}

    # -- bytes -----------------------------------------------------------------------------------

    def _database(self) -> Iterator[Damage]:
        for (line,) in self._store.db.rows(f"PRAGMA {'quick_check' if self._quick else 'integrity_check'}"):
            if line != "ok":
                remedy = "restore db.sqlite from a copy, or begin another store with --root and pull the images again"
                yield Damage(Kind.DATABASE, "db.sqlite", line, remedy=remedy)

    def _listed(self) -> Iterator[Digest]:
        for digest in self._store.blobs.all():
            if len(digest.hex) == LENGTHS.get(digest.algorithm):
                yield digest

    def _strangers(self) -> Iterator[Damage]:
        for digest in self._store.blobs.all():
            if len(digest.hex) != LENGTHS.get(digest.algorithm):
                where = f"blobs/{digest.algorithm}/{digest.hex}"
                yield Damage(Kind.STRANGER, where, "no blob has such a name: it was put here by something else")

    def _spoiled(self, blobs: list[Digest]) -> Iterator[Damage]:
        """Blobs whose bytes are not those of their names; a quick look reads those only whose size is suspect."""
        sizes = {text: size for text, (_, size) in (*self._kinds.items(), *self._forms.items())}
        suspects = [digest for digest in blobs if self._reader.size([digest]) != sizes.get(str(digest), -1)]
        read = [digest for digest in suspects if str(digest) in sizes] if self._quick else blobs
        for digest, size, met in self._reader.hashed(read):
            text = str(digest)
            self._bytes += size
            if met != text:
                self._bad.add(text)
                yield Damage(Kind.BLOB, text, f"the digest of its {size} bytes is {met}")
            elif size != sizes.get(text, size):
                kind = Kind.IMAGE if text in self._kinds else Kind.FORM
                yield Damage(kind, text, f"it is remembered with {sizes[text]} bytes, and has {size}")

    def _misnamed(self) -> Iterator[Damage]:
        """Compressed layers that hold another layer than the one they are remembered for."""
        whole = [Digest.parse(text) for text in self._forms if text not in self._bad]
        if self._quick:
            return
        for digest, met in self._reader.inflated(filter(self._store.blobs.has, whole)):
            wanted, _ = self._forms[str(digest)]
            if met != wanted:
                yield Damage(Kind.FORM, str(digest), f"it is remembered as layer {wanted}; what it holds is {met}")

    def _tables(self) -> Iterator[Damage]:
        """Tables of contents that are as they were written, and do not say what their tar says."""
        from layers.home.store import opened, sealed
        from layers.tar.toc import Toc

        for entry in list(os.scandir(self._store.root / "tocs")):
            diff_id = Digest("sha256", entry.name)
            with suppress(FileNotFoundError, BlobMissing, ArchiveInvalid):
                kept = Path(entry.path).read_bytes()
                toc = Toc.loads(opened(kept))
                if str(diff_id) not in self._bad and not self._quick:
                    with self._store.blobs.open(diff_id) as raw:
                        if sealed(Toc(Toc.scan(raw).rows, toc.times).dumps()) != kept:
                            yield Damage(Kind.TABLE, f"tocs/{entry.name}", "it does not say what its tar holds")

    # -- links -----------------------------------------------------------------------------------

    def _lacking(self) -> Iterator[Damage]:
        """Images that lack something. Looked at twice: the second time nothing is swept meanwhile."""
        if not any(map(self._absent, self._rows.documents)):
            return
        if self._store.db.barred is None:
            with self._store.db.write() as db:
                self._rows = Rows.read(db)
                lacking = {document: self._absent(document) for document in self._rows.documents}
        else:
            lacking = {document: self._absent(document) for document in self._rows.documents}
        for document, lost in lacking.items():
            if lost:
                yield Damage(Kind.IMAGE, document, f"it lacks {', '.join(lost)}")

    def _absent(self, document: str) -> list[str]:
        """What a document cannot be without and is not here whole; an index may lack some of its images."""
        needed = (document, *self._rows.edges.get(document, ())) if document in self._rows.images else (document,)
        return [text for text in needed if text in self._bad or not self._store.blobs.has(Digest.parse(text))]

    def _documents(self) -> Iterator[Damage]:
        """Documents that say something else than their rows."""
        for document in self._rows.documents & self._kinds.keys() - self._bad:
            with suppress(BlobMissing, BlobMismatch):  # told already
                try:
                    wrong = self._differs(document, self._kinds[document][0])
                except LayerError as error:
                    if isinstance(error, BlobMissing | BlobMismatch):
                        raise
                    wrong = str(error)
                if wrong:
                    yield Damage(Kind.IMAGE, document, wrong)

    def _differs(self, document: str, kind: str) -> str:
        """What the rows of a document say wrongly, or nothing."""
        raw = self._store.blobs.read(Digest.parse(document))
        if kind in mediatypes.INDEXES:
            children = {str(entry.digest) for entry in Index.parse(raw, kind).manifests}
        elif kind in mediatypes.MANIFESTS:
            manifest = Manifest.parse(raw, kind)
            children = {str(blob.digest) for blob in (manifest.config, *manifest.layers)}
            if document in self._rows.images:
                config = ImageConfig.parse(self._store.blobs.read(manifest.config.digest))
                children.update(map(str, config.diff_ids))
                if self._rows.images[document].config != str(config.digest):
                    return f"it is remembered as image {self._rows.images[document].config}, and is {config.digest}"
                if len(manifest.layers) != len(config.diff_ids):
                    return f"it has {len(manifest.layers)} layers, and its config {len(config.diff_ids)}"
                for layer, diff_id in zip(manifest.layers, config.diff_ids, strict=True):
                    held, _ = self._forms.get(str(layer.digest), (str(diff_id), 0))
                    if held != str(diff_id):
                        return f"its layer {layer.digest} is {held}; its config says {diff_id}"
        else:
            return ""
        forgotten = children.difference(self._rows.edges.get(document, ()))
        return f"it is not remembered that it needs {', '.join(sorted(forgotten))}" if forgotten else ""

    def _astray(self) -> Iterator[Damage]:
        for name, target in self._rows.names.items():
            if target not in self._rows.documents:
                yield Damage(Kind.NAME, name, f"it points to {target}, which is not here")

    def _records(self) -> Iterator[Damage]:
        """Cache records that nobody can read."""
        for key, value in self._store.db.rows("SELECT key, value FROM record"):
            try:
                readable = isinstance(json.loads(value), dict)
            except ValueError:
                readable = False
            if not readable:
                yield Damage(Kind.RECORD, key, "what it says cannot be read")

    def _containers(self) -> Iterator[Damage]:
        """Containers that nobody could start again."""
        for name, pins, settings in self._store.db.rows("SELECT id, pins, settings FROM container"):
            remedy = f"pybuild rm {name[:12]}"
            try:
                json.loads(settings)
                lost = [
                    text for text in pins.split() if text in self._bad or not self._store.blobs.has(Digest.parse(text))
                ]
                what = f"it stands on {', '.join(lost)}, which is not here" if lost else ""
                remedy = f"{REPAIR}, or pull its image again" if lost else remedy
            except (ValueError, LayerError) as error:
                what = f"what it was created as cannot be read: {error}"
            if what:
                yield Damage(Kind.CONTAINER, f"containers/{name}", what, remedy=remedy)

    def _leftovers(self) -> Iterator[str]:
        """What is in nobody's way, in words."""
        scratch = self._store.root / "scratch"
        dead = [entry.name for entry in os.scandir(scratch) if not is_locked(Path(entry.path))]
        if dead:
            yield f"{len(dead)} scratch directories of processes that were killed: the next start sweeps them"
        half = len(list(homeless(self._store)))
        with self._store.db.reading() as db:
            half += len(bodiless(self._store, db))
        if half:
            yield f"{half} containers that were half made or half removed: pybuild prune, an hour later"
        leases = {session for (session,) in self._store.db.rows("SELECT DISTINCT session FROM lease")}
        if forgotten := [name for name in leases if not (scratch / name).exists()]:
            yield f"{len(forgotten)} sessions whose leases were not given back: pybuild prune"
        lone = sum(
            not all(self._store.blobs.has(Digest.parse(text)) for text in self._rows.edges.get(key, ()))
            for key in self._rows.records
        )
        if lone:
            yield f"{lone} cache records whose layers are gone: never used; pybuild prune"
        folder = self._store.root / "snapshots"
        old = sum(
            boot != boot_id() or not any((folder / chain.partition(":")[2]).glob("*"))
            for chain, boot in self._snapshots.items()
        )
        if old:
            yield f"{old} snapshots of another boot, or half removed: made anew when needed"

"""Is everything in the store what its name says, and is everything here that a row promises?

Harmless leftovers (scratch of dead processes, directories without a row, records whose layers were pruned)
are no damage: the next sweep or use deals with them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from layers.blobs import CHUNK
from layers.collect import Rows
from layers.digest import Digest
from layers.errors import BlobMissing, LayerError
from layers.images import forget
from layers.ingest import ingest
from layers.lowers import boot_id
from layers.reference import Reference

if TYPE_CHECKING:
    from layers.store import Store


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is wrong: where (a digest, a name, a file), what, and what repair did about it ("" if nothing)."""

    where: str
    what: str
    repaired: str = ""


@dataclass(frozen=True, slots=True)
class Findings:
    """What a check saw: how many blobs and bytes it read, and what was wrong."""

    blobs: int
    bytes: int
    damages: tuple[Damage, ...]


def check(store: Store, *, repair: bool = False) -> Findings:
    """Read everything once. Other processes may go on working meanwhile.

    With `repair`, what is damaged is removed, what can be made again is made, and images that lack the rest go.
    """
    damages = [Damage("db.sqlite", line) for (line,) in store.db.rows("PRAGMA integrity_check") if line != "ok"]
    count = size = 0
    bad: set[str] = set()
    for digest in store.blobs.all():
        with suppress(BlobMissing):  # pruned by another process a moment ago
            length, met = measure(store, digest)
            count += 1
            size += length
            if met != digest:
                bad.add(str(digest))
                if repair:
                    store.blobs.path(digest).unlink(missing_ok=True)
                damages.append(Damage(str(digest), f"its bytes have the digest {met}", "removed" if repair else ""))
    damages += broken_tables(store, bad, repair=repair)
    damages += broken_images(store, bad, repair=repair)
    damages += broken_snapshots(store, repair=repair)
    return Findings(count, size, tuple(damages))


def measure(store: Store, digest: Digest) -> tuple[int, Digest]:
    """Size and true digest of a blob. Raises BlobMissing."""
    hasher = hashlib.new(digest.algorithm)
    size = 0
    with store.blobs.open(digest) as file:
        while chunk := file.read(CHUNK):
            size += len(chunk)
            hasher.update(chunk)
    return size, Digest(digest.algorithm, hasher.hexdigest())


def broken_tables(store: Store, bad: set[str], *, repair: bool) -> Iterator[Damage]:
    """Tables of contents that do not say what their tar says."""
    from layers.toc import Toc

    for entry in list(os.scandir(store.root / "tocs")):
        diff_id = Digest("sha256", entry.name)
        with suppress(FileNotFoundError, BlobMissing):
            if str(diff_id) not in bad:
                with store.blobs.open(diff_id) as raw:
                    if Toc.scan(raw).dumps() == Path(entry.path).read_bytes():
                        continue
                yield Damage(f"tocs/{entry.name}", "it is not what its tar says", "made anew" if repair else "")
            if repair:
                os.unlink(entry.path)  # made again from the tar when it is needed


def broken_images(store: Store, bad: set[str], *, repair: bool) -> Iterator[Damage]:
    """Names that lead nowhere and images that lack something."""
    with store.db.write() as db:  # nothing is swept meanwhile
        rows = Rows.read(db, store.root / "containers")
        astray = {name: target for name, target in rows.names.items() if target not in rows.documents}
        lacking = {document: lost for document in rows.documents if (lost := absent(store, rows, document, bad))}
    for name, target in astray.items():
        if repair:
            store.images.untag(Reference.parse(name, default_tag=False))
        yield Damage(name, f"it points to {target}, which is not here", "untagged" if repair else "")
    for document, lost in lacking.items():
        what = f"image lacks {', '.join(lost)}"
        if not repair:
            yield Damage(document, what)
        elif all(remade(store, text) for text in lost):
            yield Damage(document, what, "made again from a compressed form")
        else:
            with store.db.write(durable=True) as db:
                forget(db, document)
                db.execute("DELETE FROM ref WHERE digest = ?", (document,))
            yield Damage(document, what, "dropped with its names: pull or build it again")


def absent(store: Store, rows: Rows, document: str, bad: set[str]) -> list[str]:
    """What a document cannot be without and is not here whole; an index may lack some of its images."""
    needed = (document, *rows.edges.get(document, ())) if document in rows.images else (document,)
    return [text for text in needed if text in bad or not store.blobs.has(Digest.parse(text))]


def remade(store: Store, text: str) -> bool:
    """Make a raw tar again from a compressed form of it that is here; True if it is here now."""
    for form in store.variants.forms(Digest.parse(text)):
        with suppress(LayerError):
            if str(ingest(store, form)) == text:
                return True
    return False


def broken_snapshots(store: Store, *, repair: bool) -> Iterator[Damage]:
    """Rows of this boot whose directory is gone."""
    with store.db.write() as db:
        rows = db.execute("SELECT chain FROM snapshot WHERE boot_id = ?", (boot_id(),)).fetchall()
        lost = [text for (text,) in rows if not any((store.root / "snapshots" / text.partition(":")[2]).glob("*"))]
        if repair:
            db.executemany("DELETE FROM snapshot WHERE chain = ?", [(text,) for text in lost])
    for text in lost:
        yield Damage(f"snapshots/{text.partition(':')[2]}", "its directory is gone", "forgotten" if repair else "")

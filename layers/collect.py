"""What nothing uses any more goes: mark from names, containers, records and leases, sweep the rest.

Two transactions. The first drops rows that nobody needs, and is on the disk before a byte goes. The second marks
once more from the rows and leases as they are then, and moves what is not marked out of sight; only afterwards
is it deleted. Processes claim before they look (`layers.leases`), so each finds a thing leased to it, or gone.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from sqlite3 import Connection
from typing import TYPE_CHECKING

from layers.caches import Caches
from layers.digest import Digest
from layers.images import forget
from layers.lowers import boot_id
from layers.partial import idle
from layers.reference import Reference

if TYPE_CHECKING:
    from layers.store import Store


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed: names and ids of images, how many things of each kind, bytes given back to the disk."""

    names: tuple[Reference, ...]
    images: tuple[Digest, ...]
    counts: Mapping[str, int]
    bytes: int


@dataclass(frozen=True, slots=True)
class Share:
    """One kind of thing in the store; sizes are bytes on the disk, `reclaimable` what prune could free of them."""

    total: int
    active: int
    size: int
    reclaimable: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What takes how much room. Bytes that two kinds need are counted for the first one only."""

    images: Share
    containers: Share
    cache: Share
    snapshots: Share
    caches: Share


@dataclass(frozen=True)
class Rows:
    """The rows of a store that say what needs what, read in one transaction, and the pins of its containers."""

    names: Mapping[str, str]
    """Name → document."""
    documents: frozenset[str]
    images: Mapping[str, tuple[str, float]]
    """Manifest → (config, when it was added)."""
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
    def read(cls, db: Connection, containers: Path) -> Rows:
        """Leases before pins: who makes a container holds a lease until its pins are written."""
        edges: dict[str, list[str]] = {}
        for parent, child in db.execute("SELECT parent, child FROM edge"):
            edges.setdefault(parent, []).append(child)
        referrers: dict[str, list[str]] = {}
        for subject, digest in db.execute("SELECT subject, digest FROM served WHERE subject IS NOT NULL"):
            referrers.setdefault(subject, []).append(digest)
        return cls(
            dict(db.execute("SELECT name, digest FROM ref")),
            frozenset(text for (text,) in db.execute("SELECT digest FROM document")),
            {manifest: (config, added) for manifest, config, added in db.execute("SELECT * FROM image")},
            {parent: tuple(children) for parent, children in edges.items()},
            {subject: tuple(digests) for subject, digests in referrers.items()},
            dict(db.execute("SELECT key, used FROM record")),
            dict(db.execute("SELECT digest, diff_id FROM variant")),
            frozenset(text for (text,) in db.execute("SELECT digest FROM lease")),
            frozenset(pins(containers)),
        )

    @cached_property
    def used(self) -> frozenset[str]:
        """Manifests of images that a container or a process needs now."""
        roots = self.leased | self.pinned
        return frozenset(
            manifest for manifest, (config, _) in self.images.items() if manifest in roots or config in roots
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


def prune(
    store: Store, *, all: bool = False, until: float | None = None, images: bool = True, cache: bool = True
) -> Pruned:
    """Remove images without a name, cache records whose layers no image has, and the bytes that nothing needs then.

    `all` removes every image and record that no container and no process needs. `until` (seconds since the epoch)
    spares images added and records used later. `images` and `cache` say which of the two to look at. The directories
    that commands keep (`layers.caches`) cost most to fill again, so they go with `all` only, when nobody uses them.
    """
    litter = store.sweep()
    with store.db.write(durable=True) as db:
        rows = Rows.read(db, store.root / "containers")
        names, manifests = unneeded_images(rows, all=all, until=until) if images else (set[str](), set[str]())
        db.executemany("DELETE FROM ref WHERE name = ?", [(name,) for name in names])
        for manifest in manifests:
            forget(db, manifest)
        records = unneeded_records(rows, manifests, all=all, until=until) if cache else set[str]()
        db.executemany("DELETE FROM record WHERE key = ?", [(key,) for key in records])
        db.executemany("DELETE FROM edge WHERE parent = ?", [(key,) for key in records])
    freed, counts = sweep_bytes(store, forms=not all)
    if all and cache:
        with store.scratch() as trash:
            counts["caches"] = Caches(store).drop(trash, until)
            freed += disk_usage(trash)
    gone = {config for manifest, (config, _) in rows.images.items() if manifest in manifests}
    gone -= {config for manifest, (config, _) in rows.images.items() if manifest not in manifests}
    counts.update(images=len(gone), names=len(names), records=len(records), litter=litter)
    return Pruned(
        tuple(Reference.parse(name, default_tag=False) for name in sorted(names)),
        tuple(Digest.parse(text) for text in sorted(gone)),
        dict(counts),
        freed,
    )


def unneeded_images(rows: Rows, *, all: bool, until: float | None) -> tuple[set[str], set[str]]:
    """Names to drop, and documents (manifests, indexes) to forget."""
    young = {manifest for manifest, (_, added) in rows.images.items() if until is not None and added > until}
    wanted = rows.used | young
    kept_names = {
        name
        for name, target in rows.names.items()
        if not all or target in rows.leased or rows.reach((target,)) & wanted
    }
    roots = {rows.names[name] for name in kept_names} | wanted | (rows.documents & (rows.leased | rows.pinned))
    return set(rows.names) - kept_names, set(rows.documents - rows.reach(roots))


def unneeded_records(rows: Rows, gone: set[str], *, all: bool, until: float | None) -> set[str]:
    """Keys of records to drop, when the documents in `gone` are."""
    held = rows.reach((*(rows.documents - gone), *rows.leased, *rows.pinned))
    return {
        key
        for key, used in rows.records.items()
        if (until is None or used <= until) and (all or not held.issuperset(rows.edges.get(key, ())))
    }


def sweep_bytes(store: Store, *, forms: bool) -> tuple[int, Counter[str]]:
    """Remove files and directories that nothing needs; (bytes, how many of each kind)."""
    counts: Counter[str] = Counter()
    with store.scratch() as trash:
        with store.db.write(durable=True) as db:
            rows = Rows.read(db, store.root / "containers")
            live = rows.reach((*rows.documents, *rows.records, *rows.leased, *rows.pinned))
            live = rows.with_forms(live) if forms else live
            for kind, path in dead_files(store, live):
                os.rename(path, trash / f"{kind}.{path.name}")
                counts[kind] += 1
            stale = [
                chain
                for chain, diff_id, boot in db.execute("SELECT chain, diff_id, boot_id FROM snapshot")
                if chain not in rows.leased and (diff_id not in live or boot != boot_id())
            ]
            db.executemany("DELETE FROM snapshot WHERE chain = ?", [(chain,) for chain in stale])
            known = {chain for (chain,) in db.execute("SELECT chain FROM snapshot")} | rows.leased
            for entry in os.scandir(store.root / "snapshots"):
                if f"sha256:{entry.name}" not in known:
                    os.rename(entry.path, trash / f"snapshots.{entry.name}")
                    counts["snapshots"] += 1
        drop_locks(store.root / "locks")
        for path in idle(store.root):
            os.rename(path, trash / f"parts.{path.name}")
            counts["parts"] += 1
        for path in abandoned(store.root / "containers"):
            with suppress(FileNotFoundError):
                os.rename(path, trash / path.name)
        return disk_usage(trash), counts


def dead_files(store: Store, live: set[str]) -> Iterator[tuple[str, Path]]:
    """Blobs and tables of contents that are not live, by kind."""
    for digest in store.blobs.all():
        if str(digest) not in live:
            yield "blobs", store.blobs.path(digest)
    for entry in os.scandir(store.root / "tocs"):
        if f"sha256:{entry.name}" not in live:
            yield "tocs", Path(entry.path)


def abandoned(containers: Path) -> list[Path]:
    """Containers that were half made or half removed an hour ago."""
    young = time.time() - 3600
    hidden = (entry for entry in os.scandir(containers) if entry.name.startswith("."))
    return [Path(entry.path) for entry in hidden if entry.stat(follow_symlinks=False).st_mtime < young]


def drop_locks(folder: Path) -> None:
    """Remove the files of locks whose holder was killed."""
    for entry in os.scandir(folder):
        with suppress(OSError):
            held = os.open(entry.path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(held), os.stat(entry.path)):
                    os.unlink(entry.path)
            finally:
                os.close(held)


def usage(store: Store) -> Usage:
    """How much room images, containers, cache records and unpacked layers take."""
    with store.db.write() as db:
        rows = Rows.read(db, store.root / "containers")
        chains = [chain for (chain,) in db.execute("SELECT chain FROM snapshot")]
    sizes = {f"{path.parent.name}:{path.name}": blocks(path) for _, path in dead_files(store, set())}
    by_images = rows.with_forms(rows.reach(rows.documents))
    needed = rows.reach(rows.used)
    by_cache = rows.with_forms(rows.reach(rows.records)) - by_images
    snapshots = {chain: disk_usage(store.root / "snapshots" / chain.partition(":")[2]) for chain in chains}
    idle = sum(size for chain, size in snapshots.items() if chain not in rows.leased)
    total = sum(sizes.get(text, 0) for text in by_images)
    active = sum(sizes.get(text, 0) for text in needed)
    cached = sum(sizes.get(text, 0) for text in by_cache)
    configs = {config for config, _ in rows.images.values()}
    active_configs = {rows.images[manifest][0] for manifest in rows.used}
    return Usage(
        Share(len(configs), len(active_configs), total, total - active),
        container_share(store.root / "containers"),
        Share(len(rows.records), 0, cached, cached),
        Share(len(snapshots), len(rows.leased.intersection(snapshots)), sum(snapshots.values()), idle),
        cache_share(Caches(store)),
    )


def cache_share(caches: Caches) -> Share:
    """Directories that commands keep; active are those that one uses now."""
    sizes = {kept: disk_usage(kept.path) for kept in caches.all()}
    active = {kept for kept in sizes if kept.in_use()}
    return Share(len(sizes), len(active), sum(sizes.values()), sum(sizes[kept] for kept in sizes.keys() - active))


def container_share(folder: Path) -> Share:
    """Containers on the disk; active are those whose lock somebody holds."""
    sizes = {entry.path: disk_usage(Path(entry.path)) for entry in os.scandir(folder) if not entry.name.startswith(".")}
    active = {path for path in sizes if is_locked(Path(path) / "lock")}
    return Share(len(sizes), len(active), sum(sizes.values()), sum(sizes[path] for path in sizes.keys() - active))


def is_locked(path: Path) -> bool:
    """True if a process holds this lock file."""
    with suppress(FileNotFoundError), open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def pins(containers: Path) -> Iterator[str]:
    """The digests that kept containers need."""
    for entry in os.scandir(containers):
        with suppress(OSError):
            yield from (Path(entry.path) / "pins").read_text(encoding="ascii").split()


def disk_usage(path: Path) -> int:
    """Bytes that a tree takes on the disk, each inode once; other file systems are left out."""
    seen: set[int] = set()
    total = 0
    todo = [str(path)]
    device = os.lstat(path).st_dev if path.exists() else 0
    while todo:
        with suppress(OSError), os.scandir(todo.pop()) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                if status.st_dev == device and status.st_ino not in seen:
                    seen.add(status.st_ino)
                    total += status.st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(entry.path)
    return total


def blocks(path: Path) -> int:
    """Bytes that a file takes on the disk; 0 if it is gone."""
    try:
        return os.lstat(path).st_blocks * 512
    except FileNotFoundError:
        return 0

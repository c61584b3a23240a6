"""How much room the things of a store take on its disk: every block is counted once, and for one kind."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from layers.disk.locks import is_locked
from layers.home.caches import Caches
from layers.home.rows import Rows
from layers.quick import dataclass

if TYPE_CHECKING:
    from layers.home.store import Store


@dataclass(frozen=True, slots=True)
class Share:
    """One kind of thing in the store; sizes are bytes on the disk, `reclaimable` what prune could free of them."""

    total: int
    active: int
    size: int
    reclaimable: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What takes how much room. What two kinds need is counted for the first of them only."""

    images: Share
    containers: Share
    cache: Share
    snapshots: Share
    volumes: Share
    caches: Share
    """Directories that RUNs keep from one build to the next; active are those that one uses now."""
    leftovers: Share
    """What nothing needs: blobs without an owner, parts of blobs, scratch of dead processes, what was put aside."""
    bookkeeping: Share
    """The database, directories, and what processes are just making."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Bytes on the disk of every blob, by digest, its table of contents included."""

    of: dict[str, int]

    @classmethod
    def measure(cls, store: Store) -> Weights:
        """As they are now."""
        found = {str(digest): blocks(store.blobs.path(digest)) for digest in store.blobs.all()}
        for entry in os.scandir(store.root / "tocs"):
            text = f"sha256:{entry.name}"
            found[text] = found.get(text, 0) + blocks(Path(entry.path))
        return cls(found)

    def sum(self, digests: Iterable[str]) -> int:
        """Bytes of several; what is not here has none."""
        return sum(self.of.get(text, 0) for text in digests)


@dataclass(frozen=True, slots=True)
class ImageSize:
    """Bytes on the disk of one image (by its manifest), and those of them that other images need too."""

    manifest: str
    size: int
    shared: int


@dataclass(frozen=True, slots=True)
class RecordSize:
    """One cache record, bytes on the disk of its layers, and whether an image or another record needs them too.

    `held`: an image, a container or a process needs them, so that dropping the record frees nothing.
    """

    key: str
    size: int
    shared: bool
    held: bool = False
    layers: tuple[str, ...] = ()


def details(store: Store) -> tuple[list[ImageSize], list[RecordSize]]:
    """What each image and each cache record takes by itself."""
    with store.db.reading() as db:
        rows = Rows.read(db)
    weights = Weights.measure(store)
    reached = {manifest: rows.with_forms(rows.reach((manifest,))) for manifest in rows.images}
    users = Counter(text for found in reached.values() for text in found)
    images = [
        ImageSize(manifest, weights.sum(found), weights.sum(text for text in found if users[text] > 1))
        for manifest, found in reached.items()
    ]
    takers = Counter(layer for key in rows.records for layer in rows.edges.get(key, ()))
    needed = rows.reach((*rows.documents, *rows.leased, *rows.pinned))
    records = []
    for key in rows.records:
        layers = rows.edges.get(key, ())
        shared = any(layer in users or takers[layer] > 1 for layer in layers)
        held = bool(layers) and needed.issuperset(layers)
        records.append(RecordSize(key, weights.sum(rows.with_forms(set(layers))), shared, held, layers))
    return images, records


def usage(store: Store) -> Usage:
    """How much room everything takes now. Others may work meanwhile."""
    with store.db.reading() as db:
        rows = Rows.read(db)
        chains = [chain for (chain,) in db.execute("SELECT chain FROM snapshot")]
    weights = Weights.measure(store)
    by_images = rows.with_forms(rows.reach(rows.documents))
    by_cache = rows.with_forms(rows.reach(rows.records)) - by_images
    image_bytes, cache_bytes = weights.sum(by_images), weights.sum(by_cache)
    held = rows.reach(rows.used) & by_images
    snapshots = {chain: disk_usage(store.root / "snapshots" / chain.partition(":")[2]) for chain in chains}
    leased_snapshots = rows.leased.intersection(snapshots)
    idle = sum(size for chain, size in snapshots.items() if chain not in rows.leased)
    configs = {image.config for image in rows.images.values()}
    active = {rows.images[manifest].config for manifest in rows.used}
    containers = container_share(store.root / "containers")
    orphans = weights.of.keys() - by_images - by_cache
    litter = leftovers(store, {text: weights.of[text] for text in orphans}, rows.leased, set(chains))
    caches = cache_share(Caches(store))
    volumes = volume_share(store)
    known = (
        volumes.size + caches.size + image_bytes + cache_bytes + sum(snapshots.values()) + containers.size + litter.size
    )
    rest = max(disk_usage(store.root) - known, 0)
    return Usage(
        Share(len(configs), len(active), image_bytes, image_bytes - weights.sum(held)),
        containers,
        Share(len(rows.records), 0, cache_bytes, cache_bytes - weights.sum(by_cache & rows.leased)),
        Share(len(snapshots), len(leased_snapshots), sum(snapshots.values()), idle),
        volumes,
        caches,
        litter,
        Share(1, 1, rest, 0),
    )


def leftovers(store: Store, orphans: dict[str, int], leased: frozenset[str], chains: set[str]) -> Share:
    """What nobody needs; of blobs without an owner, those that a process has just made are active."""
    active = leased.intersection(orphans)
    litter = [Path(entry.path) for entry in os.scandir(store.root / "scratch") if not is_locked(Path(entry.path))]
    litter += (store.root / "damaged").glob("*")
    litter += (path for path in (store.root / "partial").glob("*") if not is_locked(path))
    litter += (path for path in (store.root / "snapshots").iterdir() if f"sha256:{path.name}" not in chains)
    idle = sum(map(disk_usage, litter)) + sum(size for text, size in orphans.items() if text not in active)
    held = sum(orphans[text] for text in active)
    return Share(len(orphans) + len(litter), len(active), idle + held, idle)


def cache_share(caches: Caches) -> Share:
    """Directories that commands keep; active are those that one uses now."""
    sizes = {kept: disk_usage(kept.path) for kept in caches.all()}
    active = {kept for kept in sizes if kept.in_use()}
    return Share(len(sizes), len(active), sum(sizes.values()), sum(sizes[kept] for kept in sizes.keys() - active))


def volume_share(store: Store) -> Share:
    """Directories that containers share; active are those that one refers to."""
    named = {
        mount["source"]
        for (settings,) in store.db.rows("SELECT settings FROM container")
        for mount in json.loads(settings).get("volumes") or ()
        if mount.get("kept")
    }
    folder = store.root / "volumes"
    sizes = {entry.name: disk_usage(Path(entry.path)) for entry in os.scandir(folder)} if folder.is_dir() else {}
    idle = sum(size for name, size in sizes.items() if name not in named)
    return Share(len(sizes), len(named & sizes.keys()), sum(sizes.values()), idle)


def container_share(folder: Path) -> Share:
    """Containers on the disk; active are those whose lock somebody holds."""
    sizes = {entry.path: disk_usage(Path(entry.path)) for entry in os.scandir(folder)}
    active = {path for path in sizes if is_locked(Path(path) / "lock")}
    return Share(len(sizes), len(active), sum(sizes.values()), sum(sizes[path] for path in sizes.keys() - active))


def disk_usage(path: Path) -> int:
    """Bytes that a tree takes on the disk, its top included, each inode once; other file systems are left out."""
    seen: set[int] = set()
    todo = [str(path)]
    try:
        top = os.lstat(path)
    except FileNotFoundError:
        return 0
    total = top.st_blocks * 512
    while todo:
        with suppress(OSError), os.scandir(todo.pop()) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                if status.st_dev == top.st_dev and status.st_ino not in seen:
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

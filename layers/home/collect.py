"""What nothing uses any more goes: mark from names, containers, records and leases, sweep the rest.

Two transactions. The first drops rows that nobody needs, and is on the disk before a byte goes. The second marks
once more from the rows and leases as they are then, and moves what is not marked out of sight; only afterwards
is it deleted. Processes claim before they look (`layers.home.leases`), so each finds a thing leased to it, or gone.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from layers.disk.boot import boot_id
from layers.errors import StoreFull
from layers.home.caches import Caches
from layers.home.containers import bodiless, homeless
from layers.home.images import forget
from layers.home.leases import unlocked
from layers.home.partial import idle
from layers.home.rows import Rows
from layers.home.sizes import Weights, disk_usage
from layers.home.unneeded import Choice, Labels, Plan, Planner
from layers.oci.digest import Digest
from layers.oci.reference import Reference
from layers.quick import dataclass

if TYPE_CHECKING:
    from layers.home.store import Store


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed, or would be: names and ids of images, how many things of each kind, bytes on the disk.

    `counts` has images, names, records, snapshots, caches, leftovers and litter, `sizes` images, cache, snapshots,
    caches, leftovers.
    """

    names: tuple[Reference, ...]
    images: tuple[Digest, ...]
    counts: Mapping[str, int]
    sizes: Mapping[str, int]

    @property
    def bytes(self) -> int:
        """All that was given back to the disk."""
        return sum(self.sizes.values())


def prune(
    store: Store,
    *,
    all: bool = False,
    images: bool = True,
    cache: bool = True,
    until: float | None = None,
    unused: float | None = None,
    labelled: Callable[[Labels], bool] | None = None,
    keep: int | None = None,
    dry: bool = False,
    besides: Collection[str] = (),
) -> Pruned:
    """Remove images without a name, cache records whose layers no image has, and the bytes that nothing needs then.

    The other words say more or less (`layers.home.unneeded.Choice`); `dry`: nothing is removed, only told, as if the
    containers `besides` were gone. Raises StoreFull only if there is no room to write down what goes, and none can be
    made.
    """
    choice = Choice(all, images, cache, until, unused, labelled, keep)
    if dry:
        return forecast(store, choice, besides)
    try:
        done = remove(store, choice)
    except StoreFull:
        if not make_room(store):
            raise
        done = remove(store, choice)
    with suppress(StoreFull):
        store.db.shrink()
    return done


def remove(store: Store, choice: Choice) -> Pruned:
    """Do it."""
    planner = Planner(store, choice)
    with unlocked(store.root / "scratch") as litter:
        dead = sum(map(disk_usage, litter))
    swept = store.sweep()
    with store.db.write(durable=True) as db:
        plan = planner.plan(Rows.read(db))
        db.executemany("DELETE FROM container WHERE id = ?", [(name,) for name in bodiless(store, db)])
        db.executemany("DELETE FROM ref WHERE name = ?", [(name,) for name in plan.names])
        for document in plan.documents:
            forget(db, document)
        db.executemany("DELETE FROM record WHERE key = ?", [(key,) for key in plan.records])
        db.executemany("DELETE FROM edge WHERE parent = ?", [(key,) for key in plan.records])
    sizes, counts = sweep_bytes(store, plan.kinds(), forms=not choice.all)
    if choice.all and choice.cache and choice.labelled is None:
        with store.scratch() as trash:
            counts["caches"] = Caches(store).drop(trash, choice.before)
            sizes["caches"] = sum(map(disk_usage, trash.iterdir()))
    sizes["leftovers"] += dead
    counts["leftovers"] += swept
    counts["litter"] = swept
    return told(plan, counts, sizes)


def forecast(store: Store, choice: Choice, besides: Collection[str]) -> Pruned:
    """Say what would go, as far as others do nothing meanwhile."""
    planner = Planner(store, choice)
    with store.db.reading() as db:
        plan = planner.plan(Rows.read(db, besides))
        snapshots = db.execute("SELECT chain, diff_id, boot_id FROM snapshot").fetchall()
    left, kind = plan.left, plan.kinds()
    live = left.live(forms=not choice.all)
    sizes: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for text, size in Weights.measure(store).of.items():
        if text not in live:
            sizes[kind(text)] += size
            counts[kind(text)] += 1
    known = {
        chain for chain, diff_id, boot in snapshots if not is_stale(left, live, chain, diff_id, boot)
    } | left.leased
    with unlocked(store.root / "scratch") as litter:
        paths = [("leftovers", path) for path in (*litter, *leavings(store))]
        paths += [("snapshots", path) for path in unknown_snapshots(store, known)]
        for name, path in paths:
            sizes[name] += disk_usage(path)
            counts[name] += 1
        counts["litter"] = len(litter)
    if choice.all and choice.cache and choice.labelled is None:
        for kept in Caches(store).all():
            if not kept.in_use() and (choice.before is None or kept.used <= choice.before):
                sizes["caches"] += disk_usage(kept.path)
                counts["caches"] += 1
    return told(plan, counts, sizes)


def told(plan: Plan, counts: Counter[str], sizes: Counter[str]) -> Pruned:
    """What went, for people."""
    number = {"images": len(plan.ids), "names": len(plan.names), "records": len(plan.records)}
    return Pruned(
        tuple(Reference.parse(name, default_tag=False) for name in sorted(plan.names)),
        tuple(Digest.parse(text) for text in sorted(plan.ids)),
        {**number, **{kind: counts[kind] for kind in ("snapshots", "caches", "leftovers", "litter")}},
        {kind: size for kind, size in sizes.items() if size},
    )


def sweep_bytes(store: Store, kind: Callable[[str], str], *, forms: bool) -> tuple[Counter[str], Counter[str]]:
    """Remove files and directories that nothing needs; bytes, and how many of each kind."""
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    with store.scratch() as trash:

        def throw(name: str, path: Path, *, more: bool = True) -> None:
            with suppress(FileNotFoundError):
                os.rename(path, trash / f"{len(thrown)}")
                thrown.append(name)
                counts[name] += more

        thrown: list[str] = []
        with store.db.write(durable=True) as db:
            rows = Rows.read(db)
            live = rows.live(forms=forms)
            seen: set[str] = set()
            for text, path in dead_files(store, live):
                throw(kind(text), path, more=text not in seen)
                seen.add(text)
            stale = [
                chain
                for chain, diff_id, boot in db.execute("SELECT chain, diff_id, boot_id FROM snapshot")
                if is_stale(rows, live, chain, diff_id, boot)
                or not os.path.exists(store.root / "snapshots" / chain.partition(":")[2])
            ]
            db.executemany("DELETE FROM snapshot WHERE chain = ?", [(chain,) for chain in stale])
            known = {chain for (chain,) in db.execute("SELECT chain FROM snapshot")} | rows.leased
            for path in list(unknown_snapshots(store, known)):
                throw("snapshots", path)
        drop_locks(store.root / "locks")
        for path in leavings(store):
            throw("leftovers", path)
        for number, name in enumerate(thrown):
            sizes[name] += disk_usage(trash / f"{number}")
    return sizes, counts


def is_stale(rows: Rows, live: set[str], chain: str, diff_id: str, boot: str) -> bool:
    """True if nobody will use a snapshot any more."""
    return chain not in rows.leased and (diff_id not in live or boot != boot_id())


def unknown_snapshots(store: Store, known: set[str]) -> Iterator[Path]:
    """Directories of snapshots that no row speaks of."""
    for entry in os.scandir(store.root / "snapshots"):
        if f"sha256:{entry.name}" not in known:
            yield Path(entry.path)


def dead_files(store: Store, live: set[str]) -> Iterator[tuple[str, Path]]:
    """Blobs and tables of contents that are not live, by digest."""
    for digest in store.blobs.all():
        if (text := str(digest)) not in live:
            yield text, store.blobs.path(digest)
    for entry in os.scandir(store.root / "tocs"):
        if (text := f"sha256:{entry.name}") not in live:
            yield text, Path(entry.path)


def leavings(store: Store) -> Iterator[Path]:
    """What a repair put aside, parts of blobs, and containers that were half made or half removed an hour ago."""
    yield from list((store.root / "damaged").glob("*"))
    if store.db.barred is None:
        yield from idle(store.root)
    young = time.time() - 3600
    for path in homeless(store):
        with suppress(FileNotFoundError):
            if path.stat(follow_symlinks=False).st_mtime < young:
                yield path


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


def make_room(store: Store) -> bool:
    """On a full disk, give up caches that need no row: tables of contents, which are made again from their tars.

    True if anything went. The log of the database begins anew then, in the blocks that it has.
    """
    tables = list(os.scandir(store.root / "tocs"))
    for entry in tables:
        Path(entry.path).unlink(missing_ok=True)
    store.db.rewind()
    return bool(tables)

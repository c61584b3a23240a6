"""The local home of images: blobs, names, cache records, snapshots, and who is using what.

    db.sqlite                 names, images, edges, cache records, leases        (layers.home.db)
    blobs/sha256/<hex>        documents, raw layer tars, compressed layers       (layers.home.blobs)
    partial/<algorithm>.<hex> what came of a blob before a pull was broken off   (layers.home.partial)
    tocs/<hex>                tables of contents of raw layer tars, a cache
    snapshots/<hex>/          indexes of layers, or layers unpacked: a cache      (layers.snapshot.lowers)
    containers/<id>/          kept workspaces, each with a row in `container`
    caches/<key>.<n>/         directories that RUNs keep from one build to the next (layers.home.caches)
    volumes/<name>/           directories that containers share by name (builder.containers.volumes)
    scratch/<id>/             unfinished things of one process, locked by it     (layers.home.leases)
    locks/<name>              for work that only one process should do
    turns                     of who makes what others want as well: one file of locks    (layers.home.turns)
    reserve/                  room that prune gives up where a disk is full, to have what it needs    (layers.home.room)
    events/                   what happened here, the latest of it               (layers.home.eventlog)
    damaged/                  bytes that a repair put aside, until the next prune    (layers.home.mend)

Any number of processes and threads may share a store. The directory is for its owner alone
(mode 0700): what images carry, setuid programs among it, is none of other users' business.
"""

from __future__ import annotations

import atexit
import errno
import os
from _thread import allocate_lock
from _weakref import ref
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cached_property, partial
from pathlib import Path

from layers.disk import locks
from layers.errors import ArchiveInvalid, LayerError, StoreFormat, StoreFull, StoreReadOnly
from layers.home.db import Database
from layers.home.leases import Lease, Session, sweep
from layers.home.room import full_disk_explained, save_up

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol

    from layers.home.blobs import Blobs
    from layers.home.images import Images
    from layers.home.records import Records
    from layers.home.turns import Turns
    from layers.home.variants import Variants
    from layers.moving.repository import Repository
    from layers.oci.chain import Chain
    from layers.oci.descriptor import Descriptor
    from layers.oci.digest import DiffID, Digest
    from layers.snapshot.snapshots import Snapshotter
    from layers.tar.toc import Toc
    from layers.views.tree import Tree
else:
    Protocol = object

ROOMS = ("blobs/sha256", "partial", "tocs", "snapshots", "containers", "caches", "scratch", "locks", "reserve")
MOST_ENTRIES = 400_000
"""Entries of all tables of contents that a process keeps in memory, some 200 bytes each."""


class Mounter(Protocol):
    """Makes overlay mounts in this process's private mount namespace; the roof hands one in (`runner.mounts`)."""

    def overlay(
        self,
        lowers: Sequence[Path],
        target: Path,
        *,
        upper: Path | None = None,
        work: Path | None = None,
        volatile: bool = False,
        ids: int | None = None,
    ) -> None:
        """Mount `lowers` (uppermost first) and `upper` on `target`; read-only without an upper.

        `volatile`: nothing is synced, the upper is good for this mount and boot only. `ids`: a user namespace by whose
        map owners are seen; on disk they stay as they are.
        """

    def image(self, index: Path, data: Sequence[Path], target: Path, *, loops: bool = False) -> None:
        """Mount the EROFS image `index`, whose further devices are `data`; with `loops` through loop devices.

        Raises OSError where that cannot be.
        """

    def unmount(self, target: Path) -> None:
        """Take a mount away again."""


class Store:
    """One store, opened by this process."""

    def __init__(
        self, root: Path, mounter: Mounter | None, *, owners: str = "", barred: LayerError | None = None
    ) -> None:
        self.root = root
        self.owners = owners
        self._mounter = mounter
        self.db = Database(root / "db.sqlite", barred=barred)
        self.session = Session(root / "scratch", self.db)
        self._snapshots: Snapshotter | None = None
        self._tocs: dict[DiffID, Toc] = {}
        self._tocs_turn = allocate_lock()
        end = self._end = partial(close, self.session, self.db)
        atexit.register(end)
        self._gone = ref(self, lambda _: finish(end))

    @classmethod
    def open(cls, root: Path, *, mounter: Mounter | None = None, owners: str = "") -> Store:
        """Open the store in `root`, laying it out if there is none; one that may not be written is there to be read.

        `owners` says how this process knows the owners of files, if not as usual: it unpacks layers for itself then.

        Raises StoreFormat for a directory of another kind or version, or one that cannot be made or read. Where the
        store cannot be written, whatever would have to raises StoreReadOnly; if its disk is full, StoreFull.
        """
        root = root.absolute()
        barred: LayerError | None = None
        try:
            if not (root / "db.sqlite").exists():
                lay_out(root)
            elif not (os.access(root, os.W_OK) and os.access(root / "db.sqlite", os.W_OK)):
                barred = StoreReadOnly(str(root))
        except PermissionError as error:
            why = "it may not be read; give yourself the right, or choose another with --root"
            raise StoreFormat(str(root), why) from error
        try:
            store = cls(root, mounter, owners=owners, barred=barred)
            store.db.open()
            if barred is None:
                save_up(root)
        except StoreFull as full:
            store = cls(root, mounter, owners=owners, barred=full)
            try:
                store.db.open()
            except StoreFormat:
                raise full from None
        return store

    def close(self) -> None:
        """End this process's session: its leases and scratch directory go."""
        finish(self._end)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @cached_property
    def blobs(self) -> Blobs:
        """Its bytes, by digest."""
        from layers.home.blobs import Blobs

        return Blobs(self.root / "blobs", self.session.claim, self.session.directory)

    @cached_property
    def images(self) -> Images:
        """Its images and their names."""
        from layers.home.images import Images

        return Images(self.db, self.blobs, self.session.claim)

    @cached_property
    def records(self) -> Records:
        """What builds have kept."""
        from layers.home.records import Records

        return Records(self.db, self.blobs, self.session.claim)

    @cached_property
    def variants(self) -> Variants:
        """Which compressed layers have which raw tars."""
        from layers.home.variants import Variants

        return Variants(self.db, self.blobs, self.lock)

    @cached_property
    def turns(self) -> Turns:
        """Who makes what, so that nothing is made twice at the same time."""
        from layers.home.turns import Turns

        return Turns(self.root / "turns")

    @property
    def snapshots(self) -> Snapshotter:
        """Chains as directories: overlay mounts if a mounter was given, else plain copies."""
        if self._snapshots is None:
            if self._mounter is None:
                from layers.snapshot.plain import PlainSnapshots

                self._snapshots = PlainSnapshots(self)
            else:
                from layers.snapshot.overlay import OverlaySnapshots

                self._snapshots = OverlaySnapshots(self, self._mounter)
        return self._snapshots

    def scratch(self, *, linger: bool = False) -> AbstractContextManager[Path]:
        """A fresh directory on the store's disk, removed on leaving; litter if this process dies.

        With `linger` it is removed when the session tidies up next.
        """
        return self.session.directory(linger=linger)

    def lease(self, *digests: Digest) -> AbstractContextManager[Lease]:
        """Keep prune away from blobs, layers and chains while inside. Lease first, then look if they are here."""
        return self.session.lease(*digests)

    def sweep(self) -> int:
        """Remove what processes that died left behind; how many."""
        return sweep(self.root / "scratch", self.db)

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Only one process (and thread) is inside under one name; the kernel opens the lock when it dies."""
        path = self.root / "locks" / name
        if self.db.barred is not None:
            raise self.db.barred
        with ExitStack() as stack:
            with full_disk_explained(self.root):
                stack.enter_context(locks.alone(path))
            yield

    def toc(self, diff_id: DiffID) -> Toc:
        """The table of contents of a layer that is here, parsed once and kept. Raises BlobMissing."""
        from layers.tar.toc import Toc

        toc = self._tocs.get(diff_id)
        if toc is None:
            try:
                toc = Toc.loads(opened((self.root / "tocs" / diff_id.hex).read_bytes()))
            except (FileNotFoundError, ArchiveInvalid):  # a cache of another version, or torn by a crash
                with self.blobs.open(diff_id) as raw:
                    toc = Toc.scan(raw)
                if self.db.barred is None:
                    self.keep_toc(diff_id, toc)
            self._remember(diff_id, toc)
        return toc

    def keep_toc(self, diff_id: DiffID, toc: Toc, table: bytes | None = None) -> None:
        """Keep the table of contents that whoever wrote or read a raw tar has at hand; `table`: what its `dumps` gave.

        One that is there stays, as directories may have been made by it: its files may have other original times.
        Not synced: it begins with its own checksum, and one that a power cut has torn is made anew.
        """
        if table is not None and (diff_id in self._tocs or os.path.exists(self.root / "tocs" / diff_id.hex)):
            return  # of a layer that was made again, the same
        part = self.session.file()
        try:
            with full_disk_explained(self.root):
                part.write_bytes(sealed(table or toc.dumps()))
                os.replace(part, self.root / "tocs" / diff_id.hex)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        self._remember(diff_id, toc)

    def _remember(self, diff_id: DiffID, toc: Toc) -> None:
        """Keep a table in memory; those that were used longest ago make room."""
        with self._tocs_turn:
            self._tocs.pop(diff_id, None)
            self._tocs[diff_id] = toc
            entries = sum(map(len, self._tocs.values()))
            for oldest in list(self._tocs)[:-1]:
                if entries <= MOST_ENTRIES:
                    break
                entries -= len(self._tocs.pop(oldest))

    def here(self, diff_id: DiffID) -> bool:
        """True if a layer's raw tar is here; it is claimed for this process."""
        self.session.claim(diff_id)
        return self.blobs.has(diff_id)

    def tree(self, chain: Chain, *, original: bool = False) -> Tree:
        """The merged file system of a chain, read from its raw tars. Raises BlobMissing.

        `original`: with the times that directories show of layers that were made here (`Toc.original`).
        """
        from layers.views.tree import Tree

        tocs = map(self.toc, chain.diff_ids)
        openers = (partial(self.blobs.open, diff_id) for diff_id in chain.diff_ids)
        return Tree([(toc.original if original else toc, opener) for toc, opener in zip(tocs, openers, strict=True)])

    def ingest(self, blob: Descriptor) -> DiffID:
        """The layer of a blob that is here, its raw tar made if need be. Raises BlobMissing, ArchiveInvalid."""
        from layers.home.ingest import ingest

        return ingest(self, blob)

    def repository(self) -> Repository:
        """This store as a place for images; names are whole references or digests."""
        from layers.moving.local import LocalRepository

        return LocalRepository(self)


def close(session: Session, db: Database) -> None:
    """What remains to be done when a store is closed or its process ends."""
    session.end()
    if session.heir is None:
        db.close()
    else:
        db.leave()


def finish(end: Callable[[], None]) -> None:
    """Do what remains to be done now, and not once more when the process ends."""
    atexit.unregister(end)
    end()


def sealed(table: bytes) -> bytes:
    """A table of contents as it is kept: behind its checksum."""
    from zlib import crc32

    return b"%08x\n%b" % (crc32(table), table)


def opened(kept: bytes) -> bytes:
    """The table of contents of what was kept. Raises ArchiveInvalid if it is not as it was written."""
    if sealed(kept[9:]) != kept:
        raise ArchiveInvalid("a table of contents that is not as it was written")
    return kept[9:]


def lay_out(root: Path) -> None:
    """Make the directories of a new store, unless `root` holds something else. Raises StoreFormat."""
    from layers.disk import durable
    from layers.disk.scatter import scatter

    try:
        durable.make(root, 0o700)
        strangers = {entry.name for entry in os.scandir(root)} - {room.partition("/")[0] for room in ROOMS}
        if any(not name.startswith("db.sqlite") for name in strangers):
            raise StoreFormat(str(root), f"it holds {min(strangers)!r} and is no store; choose an empty directory")
        os.chmod(root, 0o700)
        for room in ROOMS:
            durable.make(root / room)
        scatter(root / "scratch")
    except (NotADirectoryError, FileExistsError) as error:
        raise StoreFormat(str(root), "it is no directory") from error
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            with full_disk_explained(nearest(root)):
                raise
        raise StoreFormat(str(root), "it cannot be made or written; choose another with --root") from error


def nearest(path: Path) -> Path:
    """A path, or the lowest directory above it that exists."""
    while not path.exists():
        path = path.parent
    return path

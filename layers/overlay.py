"""Snapshots for overlayfs: one directory per layer, laid over one another by a mount.

`snapshots/<hex of ChainID>` has what one layer adds to those below, in overlayfs's own form (whiteouts
are character devices 0:0, opaque directories carry an attribute): as `index`, an EROFS image of its metadata that is
mounted over the raw tar (`layers.erofs`), where kernel and disk can do that; else, and for what a RUN left, unpacked in
`fs`. It depends on the layers below (directories that a tar does not list look as they do there), hence the key.
All this is a cache of raw tars: made when first needed, never synced. A row says in which boot one was made, and what
another boot left is made anew (ADR 3). Each is made under a lock in scratch, then renamed, then its row is written.

A chain of more layers than the kernel stacks is flattened: its lowest layers become one directory, at
depths that are multiples of FLATTEN, so that chains which share them share it too.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from layers.blobs import full_disk_explained
from layers.chain import Chain
from layers.digest import Digest
from layers.errors import BlobMissing, SnapshotMissing

if TYPE_CHECKING:
    from layers.changes import Change
    from layers.digest import ChainID, DiffID
    from layers.snapshots import Workspace
    from layers.store import Mounter, Store

INDEX = "index"
REFUSALS = (errno.ENOTBLK, errno.ENODEV, errno.EPERM, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EACCES)
"""What kernels say that have no EROFS over files (before 6.12), not on this file system, or not for us."""
FLATTEN = 240
MOST_LAYERS = 2 * FLATTEN
"""Layers that are stacked at most; the kernel's limit is 500 (OVL_MAX_STACK)."""


@cache
def boot_id() -> str:
    """Names the time between two starts of this machine (random(4))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


@dataclass
class OverlayWorkspace:
    """A writable overlay; a `layers.Workspace`."""

    root: Path
    upper: Path
    base: Chain
    store: Store
    lasting: bool
    """True if the upper directory belongs to a folder that stays."""
    mounted: ExitStack = field(default_factory=ExitStack)

    def changes(self) -> Iterator[Change]:
        """What differs from the chain, sorted by path, parents before children."""
        from layers.upper import changes

        return changes(self.upper, self.store.tree(self.base))

    def keep(self, folder: Path) -> None:
        """Move the upper directory to `folder/upper`."""
        self.mounted.close()
        os.rename(self.upper, folder / "upper")


class OverlaySnapshots:
    """Chains as overlay mounts of this process's private mount namespace; a `layers.Snapshotter`."""

    def __init__(self, store: Store, mounter: Mounter) -> None:
        self._store = store
        self._mounter = mounter
        self._folder = store.root / "snapshots"
        self._indexes = True
        """Whether layers are indexed; False once the kernel has refused."""
        self._mounted: dict[tuple[str, ChainID], Path] = {}
        self._turn = threading.Lock()

    def has(self, chain: Chain) -> bool:
        """True if no layer of the chain needs to be unpacked first."""
        return not self._missing(*(key for key, _, _ in stacked(chain)))

    @contextmanager
    def view(self, chain: Chain) -> Iterator[Path]:
        """A read-only mount of the chain. Raises SnapshotMissing."""
        with self._lowers(chain) as lowers, self._store.scratch() as scratch, ExitStack() as mounted:
            (scratch / "empty").mkdir()  # an overlay without an upper needs two directories, and not the same one
            self._mount(mounted, [*lowers, scratch / "empty"], scratch / "merged")
            yield scratch / "merged"

    @contextmanager
    def prepare(self, chain: Chain) -> Iterator[Workspace]:
        """A writable mount over the chain, dropped on leaving unless committed or kept. Raises SnapshotMissing."""
        with self._lowers(chain) as lowers, self._store.scratch() as scratch:
            work = OverlayWorkspace(scratch / "merged", scratch / "upper", chain, self._store, lasting=False)
            with work.mounted:
                self._mount(work.mounted, lowers, work.root, upper=work.upper, work=scratch / "work", volatile=True)
                yield work

    @contextmanager
    def attach(self, chain: Chain, folder: Path) -> Iterator[Workspace]:
        """A writable mount over the chain that changes `folder/upper`. Raises SnapshotMissing."""
        with self._lowers(chain) as lowers:
            work = OverlayWorkspace(folder / "merged", folder / "upper", chain, self._store, lasting=True)
            with work.mounted:
                self._mount(work.mounted, lowers, work.root, upper=work.upper, work=folder / "work")
                yield work

    def commit(self, work: Workspace, diff_id: DiffID) -> None:
        """Take the upper directory of a prepared workspace as the directory of the layer that was made of it."""
        if not isinstance(work, OverlayWorkspace) or work.lasting or not work.upper.exists():
            return
        chain = work.base.push(diff_id)
        key = chain.ids[-1]
        with self._store.lease(*chain.ids), self._store.lock(f"snapshot.{key.hex}"):
            if not self._missing(key):
                return
            work.mounted.close()
            with self._store.scratch() as scratch:
                os.rename(work.upper, scratch / "fs")
                self._publish(scratch, key, chain)

    def remove(self, chain: Chain) -> None:
        """Forget the directory of the chain's uppermost layer."""
        if chain.id is not None:
            with self._store.scratch() as scratch, self._store.db.write() as db:
                db.execute("DELETE FROM snapshot WHERE chain = ?", (str(chain.id),))
                with suppress(FileNotFoundError):
                    os.rename(self._folder / chain.id.hex, scratch / "old")

    # -- inside ----------------------------------------------------------------------------------

    def _path(self, key: ChainID) -> Path:
        return self._folder / key.hex / "fs"

    def _missing(self, *keys: ChainID) -> list[ChainID]:
        """Those that have no directory, or one of another boot."""
        here: set[str] = set()
        for start in range(0, len(keys), 500):  # of the 999 values that any SQLite takes
            some = [str(key) for key in keys[start : start + 500]]
            marks = ",".join("?" * len(some))
            query = f"SELECT chain FROM snapshot WHERE boot_id = ? AND chain IN ({marks})"
            here.update(text for (text,) in self._store.db.rows(query, boot_id(), *some))
        return [key for key in keys if str(key) not in here or not self._is_made(key)]

    @contextmanager
    def _lowers(self, chain: Chain) -> Iterator[list[Path]]:
        """The directories of a chain, uppermost first, kept from prune while inside."""
        stack = stacked(chain)
        keys = [key for key, _, _ in stack]
        with self._store.lease(*keys, *chain.diff_ids):
            missing = set(self._missing(*keys))
            for key, depth, count in stack:
                if key in missing:
                    self._make(key, Chain(chain.diff_ids[:depth]), count)
            if keys:
                places = [self._place(key, Chain(chain.diff_ids[:depth]), count) for key, depth, count in stack]
                yield places[::-1]
                return
            with self._store.scratch() as empty:
                os.chmod(empty, 0o755)
                yield [empty]

    def _is_made(self, key: ChainID) -> bool:
        place = f"{self._folder}/{key.hex}/"  # a chain has hundreds, and a Path costs more than the look
        return os.path.isdir(f"{place}fs") or (self._indexes and os.path.isfile(place + INDEX))

    def _make(self, key: ChainID, chain: Chain, count: int) -> None:
        """Index, or unpack, the `count` uppermost layers of a chain, unless another process just did."""
        with self._store.lock(f"snapshot.{key.hex}"):
            if not self._missing(key):
                return
            with full_disk_explained(self._store.root), self._store.scratch() as scratch:
                try:
                    if count > 1 or not self._indexes or not index_layer(self._store, chain, scratch / INDEX):
                        target = scratch / "fs"
                        target.mkdir(mode=0o755)
                        unpack_layers(self._store, chain, count, target)
                except BlobMissing as error:
                    raise SnapshotMissing(str(chain.id), str(error)) from error
                self._publish(scratch, key, chain)

    def _place(self, key: ChainID, chain: Chain, count: int) -> Path:
        """The directory of what is made: its own, or where its index is mounted, by this process once."""
        unpacked = self._path(key)
        if os.path.isdir(unpacked):
            return unpacked
        session = self._store.session
        with self._turn:
            name = (session.id, key)
            if name not in self._mounted and self._indexes:
                target = session.file()
                target.mkdir(mode=0o700)
                try:
                    self._mounter.image(self._index(key), self._store.blobs.path(chain.diff_ids[-1]), target)
                except OSError as error:
                    if error.errno not in REFUSALS:
                        raise SnapshotMissing(
                            str(chain.id), f"its index cannot be mounted: {error.strerror}"
                        ) from error
                    target.rmdir()
                    self._indexes = False
                else:
                    session.undo.callback(self._mounter.unmount, target)
                    self._mounted[name] = target
            if name in self._mounted:
                return self._mounted[name]
        self._make(key, chain, count)
        return unpacked

    def _index(self, key: ChainID) -> Path:
        return self._folder / key.hex / INDEX

    def _publish(self, made: Path, key: ChainID, chain: Chain) -> None:
        """Let `made/fs` be the directory of `key` from now on; in scratch is left what another boot made."""
        row = (str(key), str(chain.parent.id) if chain.parent.id else None, str(chain.diff_ids[-1]), boot_id())
        old = self._store.session.file()
        with self._store.db.write() as db:
            with suppress(FileNotFoundError):
                os.rename(self._folder / key.hex, old)
            os.rename(made, self._folder / key.hex)
            db.execute("INSERT OR REPLACE INTO snapshot VALUES (?, ?, ?, ?)", row)
        self._store.session.throw(old)

    def _mount(
        self,
        mounted: ExitStack,
        lowers: Sequence[Path],
        target: Path,
        *,
        upper: Path | None = None,
        work: Path | None = None,
        volatile: bool = False,
    ) -> None:
        """Mount on `target`, which `mounted` will undo; directories are made as needed."""
        target.mkdir(exist_ok=True)
        if upper is not None and work is not None:
            if not upper.exists():
                upper.mkdir()
                copy_attributes(lowers[0], upper)
            work.mkdir(exist_ok=True)
        try:
            self._mounter.overlay(lowers, target, upper=upper, work=work, volatile=volatile)
        except OSError as error:
            why = f"its overlay cannot be mounted: {error.strerror}; the kernel's log may say more"
            raise SnapshotMissing(str(target), f"{why}. Not every file system can carry one: see --root") from error
        mounted.callback(self._mounter.unmount, target)


def stacked(chain: Chain) -> list[tuple[ChainID, int, int]]:
    """The directories of a chain, lowest first: (its name, layers up to and with it, layers that it holds)."""
    depth = len(chain)
    flat = (depth - 1) // FLATTEN * FLATTEN if depth > MOST_LAYERS else 0
    single = [(key, at, 1) for at, key in enumerate(chain.ids[flat:], flat + 1)]
    return [(Digest.of(f"flat {chain.ids[flat - 1]}".encode()), flat, flat), *single] if flat else single


def index_layer(store: Store, chain: Chain, target: Path) -> bool:
    """Write the index of a chain's uppermost layer; False if it has something that must be unpacked."""
    from layers.erofs import CannotIndex, index

    diff_id = chain.diff_ids[-1]
    below = Chain(chain.diff_ids[:-1])
    try:
        image = index(store.toc(diff_id), store.blobs.size(diff_id), store.tree(below), lowest=not below.diff_ids)
    except CannotIndex:
        return False
    target.write_bytes(image)
    return True


def unpack_layers(store: Store, chain: Chain, count: int, target: Path) -> None:
    """Unpack the `count` uppermost layers of a chain into one directory, in overlayfs's form if others lie below."""
    from layers.unpack import unpack

    bottom = len(chain) - count
    for at, diff_id in enumerate(chain.diff_ids[bottom:], bottom):
        with store.blobs.open(diff_id) as raw:
            unpack(store.toc(diff_id), raw, target, overlay=bottom > 0, below=store.tree(Chain(chain.diff_ids[:at])))


def copy_attributes(source: Path, target: Path) -> None:
    """Give a directory owner, mode, attributes and times of another one, but for overlayfs's own marks."""
    status = os.stat(source)
    os.chown(target, status.st_uid, status.st_gid)
    os.chmod(target, status.st_mode & 0o7777)
    for name in os.listxattr(source):
        if not name.startswith(("trusted.overlay.", "user.overlay.")):
            os.setxattr(target, name, os.getxattr(source, name))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))

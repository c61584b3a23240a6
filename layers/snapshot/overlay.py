"""Snapshots for overlayfs: the directories of a chain (`layers.snapshot.lowers`), laid over one another by a mount."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from layers.errors import SnapshotMissing
from layers.home.leases import discard
from layers.oci.chain import Chain
from layers.quick import dataclass, field
from layers.snapshot.lowers import Lowers, timed

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from layers.home.store import Mounter, Store
    from layers.oci.digest import DiffID
    from layers.snapshot.snapshots import Workspace
    from layers.views.changes import Change

OVERLAY = ("trusted.overlay.", "user.overlay.")
"""Names of overlayfs's own marks."""


@dataclass
class OverlayWorkspace:
    """A writable overlay; a `layers.Workspace`."""

    root: Path
    upper: Path
    base: Chain
    store: Store
    lasting: bool
    """True if the upper directory belongs to a folder that stays."""
    original: bool
    """True if files below have the times that they had when their layers were made here."""
    mounted: ExitStack = field(default_factory=ExitStack)

    def changes(self) -> Iterator[Change]:
        """What differs from the chain, sorted by path, parents before children."""
        from layers.views.upper import changes

        return changes(self.upper, self.store.tree(self.base, original=self.original))

    def keep(self, folder: Path) -> None:
        """Move the upper directory to `folder/upper`."""
        self.mounted.close()
        os.rename(self.upper, folder / "upper")


class OverlaySnapshots:
    """Chains as overlay mounts of this process's private mount namespace; a `layers.Snapshotter`."""

    def __init__(self, store: Store, mounter: Mounter) -> None:
        self._store = store
        self._mounter = mounter
        self._lowers = Lowers(store, mounter)

    def has(self, chain: Chain) -> bool:
        """True if no layer of the chain needs to be indexed or unpacked first."""
        return self._lowers.has(chain)

    def how(self) -> str:
        """How layers become directories here, and why not in a better way."""
        return self._lowers.how()

    @contextmanager
    def view(self, chain: Chain, *, ids: int | None = None, original: bool = False) -> Iterator[Path]:
        """A read-only mount of the chain. Raises SnapshotMissing."""
        with (
            self._lowers.of(chain, original=original) as lowers,
            self._store.scratch() as scratch,
            ExitStack() as mounted,
        ):
            (scratch / "empty").mkdir()  # an overlay without an upper needs two directories, and not the same one
            self._mount(mounted, [*lowers, scratch / "empty"], scratch / "merged", ids=ids)
            yield scratch / "merged"

    @contextmanager
    def prepare(
        self, chain: Chain, *, ids: int | None = None, original: bool = False, linger: bool = False
    ) -> Iterator[Workspace]:
        """A writable mount over the chain, dropped on leaving unless committed or kept. Raises SnapshotMissing."""
        with self._lowers.of(chain, original=original) as lowers, self._store.scratch(linger=linger) as scratch:
            root, upper = scratch / "merged", scratch / "upper"
            work = OverlayWorkspace(root, upper, chain, self._store, lasting=False, original=original)
            try:
                place = scratch / "work"
                self._mount(work.mounted, lowers, work.root, upper=work.upper, work=place, volatile=True, ids=ids)
                yield work
            finally:  # the kernel makes whoever unmounts wait for all processors
                self._store.session.put_by(work.mounted.pop_all().close)

    @contextmanager
    def attach(
        self, chain: Chain, folder: Path, *, ids: int | None = None, volatile: bool = False
    ) -> Iterator[Workspace]:
        """A writable mount over the chain that changes `folder/upper`. Raises SnapshotMissing."""
        if volatile:
            discard(folder / "work")  # the kernel takes none that a volatile mount has left
        with self._lowers.of(chain) as lowers:
            root, upper = folder / "merged", folder / "upper"
            work = OverlayWorkspace(root, upper, chain, self._store, lasting=True, original=False)
            with work.mounted:
                place = folder / "work"
                self._mount(work.mounted, lowers, work.root, upper=work.upper, work=place, volatile=volatile, ids=ids)
                yield work
                if volatile:  # who removes itself goes as it is
                    self._store.session.put_by(work.mounted.pop_all().close)
            if not volatile:
                from layers.snapshot.idle import shrink

                shrink(folder, lowers)

    def commit(self, work: Workspace, diff_id: DiffID) -> None:
        """Take the upper directory of a prepared workspace as the directory of the layer that was made of it."""
        if not isinstance(work, OverlayWorkspace) or work.lasting or not work.upper.exists():
            return
        chain = work.base.push(diff_id)
        key = chain.ids[-1]
        key = self._lowers.key(key if self._store.toc(diff_id).times is None else timed(key))
        if not self._lowers.missing(key):
            return
        with self._store.lease(key, *chain.ids), self._store.lock(f"snapshot.{key.hex}"):
            if not self._lowers.missing(key):
                return
            work.mounted.close()
            with self._store.scratch() as scratch:
                os.rename(work.upper, scratch / "fs")
                self._lowers.publish(scratch, key, chain, len(chain))

    def remove(self, chain: Chain) -> None:
        """Forget the directory of the chain's uppermost layer."""
        if chain.id is not None:
            for key in map(self._lowers.key, (chain.id, timed(chain.id))):
                with self._store.scratch() as scratch, self._store.db.write() as db:
                    db.execute("DELETE FROM snapshot WHERE chain = ?", (str(key),))
                    with suppress(FileNotFoundError):
                        os.rename(self._store.root / "snapshots" / key.hex, scratch / "old")

    # -- inside ----------------------------------------------------------------------------------

    def _mount(
        self,
        mounted: ExitStack,
        lowers: Sequence[Path],
        target: Path,
        *,
        upper: Path | None = None,
        work: Path | None = None,
        volatile: bool = False,
        ids: int | None = None,
    ) -> None:
        """Mount on `target`, which `mounted` will undo; directories are made as needed."""
        target.mkdir(exist_ok=True)
        if upper is not None and work is not None:
            if not upper.exists():
                upper.mkdir()
                copy_attributes(lowers[0], upper)
            work.mkdir(exist_ok=True)
        try:
            self._mounter.overlay(lowers, target, upper=upper, work=work, volatile=volatile, ids=ids)
        except OSError as error:
            why = f"its overlay cannot be mounted: {error.strerror}; the kernel's log may say more"
            raise SnapshotMissing(str(target), f"{why}. Not every file system can carry one: see --root") from error
        mounted.callback(self._mounter.unmount, target)


def copy_attributes(source: Path, target: Path) -> None:
    """Give a directory owner, mode, attributes and times of another one, but for overlayfs's own marks."""
    status = os.stat(source)
    os.chown(target, status.st_uid, status.st_gid)
    os.chmod(target, status.st_mode & 0o7777)
    for name in os.listxattr(source):
        if not name.startswith(OVERLAY):
            os.setxattr(target, name, os.getxattr(source, name))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))

"""Indexes as mounts of this process, each made once; how they are mounted is found by trying.

From files where the kernel (Linux 6.12) and the disk can do that, else through loop devices, else not at all. An empty
index decides: what cannot be mounted although that one can is itself at fault. All mounts lie in the scratch directory
of the session and in the private mount namespace, so they end with either.
"""

from __future__ import annotations

import errno
from _thread import allocate_lock
from collections.abc import Sequence
from pathlib import Path

from layers.snapshot.superblock import CannotIndex, devices

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from layers.home.store import Mounter, Store
    from layers.oci.digest import ChainID

WAYS = ("mounted from files", "mounted through loop devices")
LOOPS = 1
MOST_LOOPS = 64
"""Loop devices that a process takes at most, for they belong to the whole machine; what would need more is unpacked."""


class Refused(Exception):
    """No index can be mounted here."""


class Mountings:
    """What this process has mounted, and how."""

    def __init__(self, store: Store, mounter: Mounter) -> None:
        self._store = store
        self._mounter = mounter
        self._way = 0
        """Which of WAYS is used; beyond them if the kernel has refused all."""
        self._proven = False
        self._refusals: list[str] = []
        self._mounted: dict[tuple[str, ChainID], Path] = {}
        self._loops = 0
        self._turn = allocate_lock()

    @property
    def possible(self) -> bool:
        """False once every way was refused."""
        return self._way < len(WAYS)

    @property
    def words(self) -> str:
        """The way, and why it is no better one."""
        return "; not ".join((f"indexed, {WAYS[self._way]}" if self.possible else "unpacked", *self._refusals))

    def settle(self) -> None:
        """Find the way, unless it is known. Raises Refused."""
        with self._turn:
            self._settle()

    def mount(self, key: ChainID, image: Path) -> Path:
        """Where an index is mounted. Raises Refused, BlobMissing, CannotIndex if just this one cannot be mounted."""
        session = self._store.session
        with self._turn:
            name = (session.id, key)
            if name in self._mounted:
                return self._mounted[name]
            target = session.file()
            target.mkdir(mode=0o700)
            try:
                tars = devices(image)
                for diff_id in tars:
                    self._store.blobs.size(diff_id)  # says which one is missing
                self._mount(image, [self._store.blobs.path(diff_id) for diff_id in tars], target)
            except OSError as error:
                target.rmdir()
                raise CannotIndex(f"its index cannot be mounted: {error}") from error
            except BaseException:
                target.rmdir()
                raise
            session.undo.callback(self._mounter.unmount, target)
            self._mounted[name] = target
            return target

    def _mount(self, image: Path, tars: Sequence[Path], target: Path) -> None:
        while self.possible:
            loops = (1 + len(tars)) * (self._way == LOOPS)
            if self._loops + loops > MOST_LOOPS:
                raise OSError(errno.EMFILE, f"more than {MOST_LOOPS} loop devices would be needed")
            try:
                self._mounter.image(image, tars, target, loops=loops > 0)
            except OSError:
                if self._proven:
                    raise
                self._settle()
            else:
                self._loops += loops
                self._proven = True
                return
        raise Refused

    def _settle(self) -> None:
        """Mount an empty index in one way after another, until one works."""
        from layers.snapshot.index import index
        from layers.snapshot.inodes import Inodes
        from layers.views.tree import Tree

        if self._proven:
            return
        with self._store.scratch() as scratch:
            image, target = scratch / "empty", scratch / "mounted"
            index(Inodes([], 0, Tree([])), 0, []).write(image, self._store.blobs.open)
            target.mkdir()
            while self.possible and not self._proven:
                try:
                    self._mounter.image(image, [], target, loops=self._way == LOOPS)
                    self._mounter.unmount(target)
                    self._proven = True
                except OSError as error:
                    self._refusals.append(f"{WAYS[self._way]}: {error.strerror}")
                    self._way += 1
        if not self._proven:
            raise Refused

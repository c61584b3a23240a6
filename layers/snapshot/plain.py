"""Snapshots by plain copies: each directory is unpacked anew from its tars, whole, and nothing is mounted.

The reference for `layers.snapshot.overlay`, and what a process has that may not mount. What a workspace changed is
found by comparing it with the tables of its chain, and shown as overlayfs would leave it: an `upper` directory of links
to what is new or different, with whiteouts (which everybody may make, mknod(2)) for what is gone.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from layers.disk.paths import encode
from layers.errors import BlobMissing, SnapshotMissing
from layers.home.leases import discard
from layers.oci.chain import Chain
from layers.quick import dataclass
from layers.snapshot.lowers import Job
from layers.snapshot.overlay import copy_attributes
from layers.snapshot.spans import Span
from layers.tar.entry import KINDS, EntryType

if TYPE_CHECKING:
    from layers.home.store import Store
    from layers.oci.digest import DiffID
    from layers.snapshot.snapshots import Workspace
    from layers.views.changes import Change
    from layers.views.tree import Tree


@dataclass
class PlainWorkspace:
    """A directory that holds a whole chain and what was changed in it; a `layers.Workspace`."""

    root: Path
    base: Chain
    store: Store
    original: bool = False

    @property
    def upper(self) -> Path:
        """What differs from the chain now, in overlayfs's form; compared anew each time it is asked for."""
        upper = self.root.with_name("upper")
        discard(upper)
        lift(self.root, upper, self.store.tree(self.base, original=self.original))
        return upper

    def changes(self) -> Iterator[Change]:
        """What differs from the chain, sorted by path, parents before children."""
        from layers.views.upper import changes

        return changes(self.upper, self.store.tree(self.base, original=self.original))

    def keep(self, folder: Path) -> None:
        """Move the directory to `folder`, where `attach` finds it."""
        os.rename(self.root, folder / "merged")


class PlainSnapshots:
    """Chains as directories of their own; a `layers.Snapshotter` that keeps none."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def has(self, chain: Chain) -> bool:
        """True of the empty chain only: all else is unpacked each time."""
        return not chain.diff_ids

    @contextmanager
    def view(self, chain: Chain, *, ids: int | None = None, original: bool = False) -> Iterator[Path]:
        """A directory of the chain that nobody else sees. Raises SnapshotMissing."""
        with self.prepare(chain, ids=ids, original=original) as work:
            yield work.root

    @contextmanager
    def prepare(
        self, chain: Chain, *, ids: int | None = None, original: bool = False, linger: bool = False
    ) -> Iterator[Workspace]:
        """A directory of the chain, dropped on leaving unless kept. Raises SnapshotMissing."""
        scratch = self._store.scratch(linger=linger)
        with scratch as folder, self._unpacked(chain, folder, ids=ids, original=original) as work:
            yield work

    @contextmanager
    def attach(
        self, chain: Chain, folder: Path, *, ids: int | None = None, volatile: bool = False
    ) -> Iterator[Workspace]:
        """The directory `folder/merged`, unpacked if it is not there yet. Raises SnapshotMissing."""
        with self._unpacked(chain, folder, ids=ids, original=False) as work:
            yield work

    @contextmanager
    def _unpacked(self, chain: Chain, folder: Path, *, ids: int | None, original: bool) -> Iterator[Workspace]:
        if ids is not None:
            raise SnapshotMissing(str(chain.id), "a copy shows its files with the owners that they have")
        merged = folder / "merged"
        with self._store.lease(*chain.diff_ids) as lease:
            if not merged.exists():
                part = folder / "part"
                discard(part)
                part.mkdir(mode=0o755)
                try:
                    Job(self._store, chain, lease.add, original=original).unpack(Span(0, len(chain)), part)
                except BlobMissing as error:
                    raise SnapshotMissing(str(chain.id), str(error)) from error
                os.rename(part, merged)
            yield PlainWorkspace(merged, chain, self._store, original)

    def commit(self, work: Workspace, diff_id: DiffID) -> None:
        """Nothing: the layer is unpacked when it is needed."""

    def remove(self, chain: Chain) -> None:
        """Nothing: no directory outlives its use."""

    def how(self) -> str:
        """By plain copies."""
        return "unpacked anew each time, as this process makes no mounts"


def lift(root: Path, upper: Path, lower: Tree) -> None:
    """Make `upper` of what differs from `lower` in `root`: what overlayfs would have copied up, made or whited out."""
    upper.mkdir()
    copy_attributes(root, upper)
    todo = [""]
    while todo:
        path = todo.pop()
        below = lower.get(path)
        known = below is not None and below.type is EntryType.DIR
        names = os.listdir(root / path)
        for name in names:
            inner = f"{path}/{name}" if path else name
            status = os.lstat(root / inner)
            if stat.S_ISDIR(status.st_mode):
                todo.append(inner)
                if not is_same(root / inner, status, lower, inner):
                    make(root, upper, inner)
            elif not is_same(root / inner, status, lower, inner):
                make(root, upper, path)
                os.link(root / inner, upper / inner, follow_symlinks=False)
        for name in set(lower.children(path)).difference(names) if known else ():
            make(root, upper, path)
            os.mknod(upper / path / name, stat.S_IFCHR)
    for folder, _, _ in os.walk(upper, topdown=False):  # making things in them changed their times
        copy_attributes(root / os.path.relpath(folder, upper), Path(folder))


def make(root: Path, upper: Path, path: str) -> None:
    """Make a directory of `upper` and those above it as they are in `root`."""
    if path and not (upper / path).exists():
        make(root, upper, path.rpartition("/")[0])
        (upper / path).mkdir()
        copy_attributes(root / path, upper / path)


def is_same(file: Path, status: os.stat_result, lower: Tree, path: str) -> bool:
    """True if a file is as the chain has it; of directories, times do not matter."""
    entry = lower.get(path)
    while entry is not None and entry.type is EntryType.HARDLINK:
        entry = lower.get(entry.linkname)
    if entry is None or KINDS.get(stat.S_IFMT(status.st_mode)) is not entry.type:
        return False
    if os.geteuid() == 0 and (status.st_uid, status.st_gid) != (entry.uid, entry.gid):
        return False  # others could not have given it away when it was unpacked
    if entry.type is EntryType.SYMLINK:
        return os.fsencode(os.readlink(file)) == encode(entry.linkname) and status.st_mtime_ns == entry.mtime_ns
    if stat.S_IMODE(status.st_mode) != entry.mode or attributes(file) != dict(entry.xattrs):
        return False
    if entry.type is EntryType.FILE:
        return (status.st_size, status.st_mtime_ns) == (entry.size, entry.mtime_ns)
    device = (os.major(status.st_rdev), os.minor(status.st_rdev))
    return entry.type not in (EntryType.CHAR, EntryType.BLOCK) or device == (entry.major, entry.minor)


def attributes(file: Path) -> dict[str, bytes]:
    """The extended attributes that a layer could carry."""
    names = [name for name in os.listxattr(file, follow_symlinks=False) if name != "security.selinux"]
    return {name: os.getxattr(file, name, follow_symlinks=False) for name in names}

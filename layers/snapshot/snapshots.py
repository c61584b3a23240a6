"""Chains of layers as directories, and directories as the next layer.

What is atomic: `commit`. A Workspace that is left without a commit is dropped whole, and so is one
whose process died. All that passes from here to a sandbox is the path `Workspace.root`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from layers.oci.chain import Chain
from layers.oci.digest import DiffID
from layers.views.changes import Change


class Workspace(Protocol):
    """A writable file system over a chain, visible to this process and its children only."""

    @property
    def root(self) -> Path:
        """The merged directory."""
        ...

    @property
    def upper(self) -> Path:
        """Where what differs from the chain is kept."""
        ...

    @property
    def base(self) -> Chain:
        """What lies below."""
        ...

    def changes(self) -> Iterator[Change]:
        """What differs from the chain, sorted by path, parents before children."""
        ...

    def keep(self, folder: Path) -> None:
        """Move `upper` to `folder/upper`, on the store's disk, for a later `attach`; `root` is gone then."""
        ...


class Snapshotter(Protocol):
    """Makes directories from chains whose layers are in the store.

    `ids` is the descriptor of a user namespace: owners are seen by its map, whereas `Workspace.upper` and layers have
    the numbers of its inside. `original`: files have the times that they had when their layers were made here
    (`Toc.original`), as the later steps of a build see them; else those that their layers say.
    """

    def has(self, chain: Chain) -> bool:
        """True if `view` and `prepare` need not unpack anything first."""
        ...

    def view(self, chain: Chain, *, ids: int | None = None, original: bool = False) -> AbstractContextManager[Path]:
        """A read-only directory of the chain. Raises SnapshotMissing."""
        ...

    def prepare(
        self, chain: Chain, *, ids: int | None = None, original: bool = False, linger: bool = False
    ) -> AbstractContextManager[Workspace]:
        """A writable directory over the chain, dropped on leaving unless committed; `linger` as of Store.scratch.

        Raises SnapshotMissing.
        """
        ...

    def attach(
        self, chain: Chain, folder: Path, *, ids: int | None = None, volatile: bool = False
    ) -> AbstractContextManager[Workspace]:
        """A writable directory over the chain whose changes stay in `folder/upper`; `folder` is on the store's disk.

        Only one may be attached to a folder at a time: see to that with a lock. `volatile`: the folder will be removed
        afterwards, so none of it has to reach the disk. Raises SnapshotMissing.
        """
        ...

    def commit(self, work: Workspace, diff_id: DiffID) -> None:
        """Let a prepared workspace's changes be the directory of `work.base.push(diff_id)`; `work.root` is gone then.

        Idempotent. What is attached stays where it is, and its layer is unpacked when first needed.
        """
        ...

    def remove(self, chain: Chain) -> None:
        """Forget the directory of the chain's uppermost layer; the layer itself stays."""
        ...

    def how(self) -> str:
        """How layers become directories here, and why not in a better way; one line for people."""
        ...

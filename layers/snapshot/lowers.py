"""Chains as directories that overlayfs can lay over one another: made when first needed, a cache of raw tars.

`snapshots/<hex>` has what one layer, or several that lie on one another (`layers.snapshot.spans`), add to those below,
in overlayfs's own form (whiteouts are character devices 0:0, opaque directories carry an attribute): as `index`, an
EROFS image of their metadata that is mounted over the raw tars (`layers.snapshot.index`), where kernel and disk can do
that (`layers.snapshot.mountings`); else, and for what a RUN left, unpacked in `fs`, with the `reason` if there is one.
It depends on the layers below (directories that a tar does not list look as they do there), hence its name. Nothing is
ever synced: a row says in which boot one was made, and what another boot left is made anew (ADR 3). Each is made under
a lock in scratch, then renamed, then its row is written.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from pathlib import Path

from layers.disk.boot import boot_id
from layers.errors import BlobMissing, SnapshotMissing
from layers.home.room import full_disk_explained
from layers.oci.chain import Chain
from layers.oci.digest import Digest
from layers.snapshot.mountings import Mountings, Refused
from layers.snapshot.spans import MOST_LAYERS, Span, indexed, unpacked
from layers.snapshot.superblock import CannotIndex

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from collections.abc import Callable

    from layers.home.store import Mounter, Store
    from layers.oci.digest import ChainID
    from layers.snapshot.index import Tar
    from layers.tar.toc import Toc
    from layers.views.tree import Tree

INDEX = "index"


class Job:
    """A chain that is wanted as directories: its tables, read when first asked for, perhaps with original times."""

    def __init__(self, store: Store, chain: Chain, hold: Callable[..., None], *, original: bool = False) -> None:
        self.chain = chain
        self.hold = hold
        """Keeps further digests from prune."""
        self._store = store
        self._original = original

    @cached_property
    def tocs(self) -> list[Toc]:
        """The tables of all its layers. Raises BlobMissing."""
        tocs = [self._store.toc(diff_id) for diff_id in self.chain.diff_ids]
        return [toc.original for toc in tocs] if self._original else tocs

    def key(self, span: Span) -> ChainID:
        """The name of a span's directory."""
        key = span.key(self.chain)
        own = self.tocs[slice(*span)] if self._original else ()
        return timed(key) if any(toc.is_original for toc in own) else key

    @cached_property
    def tars(self) -> list[Tar]:
        """Its raw tars. Raises BlobMissing."""
        from layers.snapshot.index import Tar

        return [Tar(diff_id, self._store.blobs.size(diff_id)) for diff_id in self.chain.diff_ids]

    def tree(self, depth: int) -> Tree:
        """What its lowest layers show."""
        from layers.views.tree import Tree

        openers = (partial(self._store.blobs.open, diff_id) for diff_id in self.chain.diff_ids)
        return Tree(list(zip(self.tocs[:depth], openers, strict=False)))

    def unpack(self, span: Span, target: Path) -> None:
        """Unpack some layers into one directory, in overlayfs's form if others lie below. Raises UnsafePath."""
        from layers.snapshot.unpack import unpack

        for at in range(*span):
            with self._store.blobs.open(self.chain.diff_ids[at]) as raw:
                unpack(self.tocs[at], raw, target, overlay=span.bottom > 0, below=self.tree(at))


def timed(key: ChainID) -> ChainID:
    """The name of a directory whose files have other times than its layers say."""
    return Digest.of(f"{key} as it was made".encode())


class Lowers:
    """The directories of chains in one store."""

    def __init__(self, store: Store, mounter: Mounter) -> None:
        self._store = store
        self._folder = store.root / "snapshots"
        self._mountings = Mountings(store, mounter)
        self._cannot: dict[ChainID, str] = {}
        """Why some have no index that can be used."""

    def has(self, chain: Chain) -> bool:
        """True if no directory has to be made first."""
        return not self.missing(*(self.key(span.key(chain)) for span in self._plan(len(chain))))

    def key(self, of: ChainID) -> ChainID:
        """The name of a directory here: who knows owners by other numbers has directories of their own."""
        owners = self._store.owners
        return Digest.of(f"{of} as {owners}".encode()) if owners else of

    @contextmanager
    def of(self, chain: Chain, *, original: bool = False) -> Iterator[list[Path]]:
        """The directories of a chain, uppermost first, kept from prune while inside. Raises SnapshotMissing.

        `original`: files have the times that they had when their layers were made here.
        """
        keys = (self.key(span.key(chain)) for span in self._plan(len(chain)))  # most likely all that is needed
        with self._held(*chain.diff_ids, *keys) as hold:
            if not chain.diff_ids:
                with self._store.scratch() as empty:
                    os.chmod(empty, 0o755)
                    yield [empty]
                return
            try:
                places = self._places(Job(self._store, chain, hold, original=original))
            except BlobMissing as error:
                raise SnapshotMissing(str(chain.id), str(error)) from error
            yield places[::-1]

    def missing(self, *keys: ChainID) -> list[ChainID]:
        """Those that have no directory, or one of another boot."""
        here: set[str] = set()
        for start in range(0, len(keys), 500):  # of the 999 values that any SQLite takes
            some = [str(key) for key in keys[start : start + 500]]
            marks = ",".join("?" * len(some))
            query = f"SELECT chain FROM snapshot WHERE boot_id = ? AND chain IN ({marks})"
            here.update(text for (text,) in self._store.db.rows(query, boot_id(), *some))
        return [key for key in keys if str(key) not in here or not self._is_made(key)]

    def publish(self, made: Path, key: ChainID, chain: Chain, top: int) -> None:
        """Let `made` be the folder of `key`, of layers of a chain below number `top`; what another boot made goes."""
        row = (str(key), str(chain.ids[top - 2]) if top > 1 else None, str(chain.diff_ids[top - 1]), boot_id())
        old = self._store.session.file()
        with self._store.db.write() as db:
            with suppress(FileNotFoundError):
                os.rename(self._folder / key.hex, old)
            os.rename(made, self._folder / key.hex)
            db.execute("INSERT OR REPLACE INTO snapshot VALUES (?, ?, ?, ?)", row)
        self._store.session.throw(old)

    def how(self) -> str:
        """How layers become directories here, and why not in a better way: found by trying."""
        with suppress(Refused):
            self._mountings.settle()
        return self._mountings.words

    # -- inside ----------------------------------------------------------------------------------

    @contextmanager
    def _held(self, *digests: Digest) -> Iterator[Callable[..., None]]:
        """Keep these from prune while inside, and what is handed to what this gives.

        A process that ends with its command lets go of all at once: what it has claimed already is not written again.
        """
        session = self._store.session
        if session.heir is not None:
            session.claim(*digests)
            yield session.claim
            return
        with session.lease(*digests) as lease:
            yield lease.add

    def _plan(self, depth: int) -> list[Span]:
        return indexed(depth) if self._mountings.possible else unpacked(depth)

    def _places(self, job: Job) -> list[Path]:
        """The directories of a chain, lowest first."""
        depth = len(job.chain)
        with suppress(Refused):
            if self._mountings.possible and len(places := self._all(job, indexed(depth))) <= MOST_LAYERS:
                return places
        return self._all(job, unpacked(depth), index=False)

    def _all(self, job: Job, spans: Sequence[Span], *, index: bool = True) -> list[Path]:
        keys = [self.key(job.key(span)) for span in spans]
        job.hold(*keys)
        missing = set(self.missing(*keys))
        places = []
        for span, key in zip(spans, keys, strict=True):
            places += self._place(job, span, key, missing=key in missing, index=index)
        return places

    def _place(self, job: Job, span: Span, key: ChainID, *, missing: bool, index: bool) -> list[Path]:
        """The directory of a span, made if it is missing; of layers that cannot be indexed together, of each part."""
        folder = self._folder / key.hex
        if not missing and os.path.isdir(folder / "fs"):
            return [folder / "fs"]
        if index:
            try:
                if missing:
                    self._make_index(job, span, key)
                return [self._mountings.mount(key, folder / INDEX)]
            except CannotIndex as error:
                self._cannot[key] = str(error)
            if parts := span.parts():
                return self._all(job, parts)
        self._unpack(job, span, key)
        return [folder / "fs"]

    def _is_made(self, key: ChainID) -> bool:
        place = f"{self._folder}/{key.hex}/"  # a chain has hundreds, and a Path costs more than the look
        return os.path.isdir(f"{place}fs") or (self._mountings.possible and os.path.isfile(place + INDEX))

    def _make_index(self, job: Job, span: Span, key: ChainID) -> None:
        """Index a span, unless another process just did. Raises CannotIndex if it has what no index can say."""
        from layers.snapshot.index import index
        from layers.snapshot.inodes import Inodes

        self._mountings.settle()
        with self._store.lock(f"snapshot.{key.hex}"):
            if key in self._cannot:
                raise CannotIndex(self._cannot[key])
            if self.missing(key):
                with full_disk_explained(self._store.root), self._store.scratch() as scratch:
                    inodes = Inodes(job.tocs[: span.top], span.bottom, job.tree(span.bottom))
                    image = index(inodes, span.bottom, job.tars[: span.top])
                    image.write(scratch / INDEX, self._store.blobs.open)
                    self.publish(scratch, key, job.chain, span.top)

    def _unpack(self, job: Job, span: Span, key: ChainID) -> None:
        """Unpack a span into one directory, unless another process just did."""
        with self._store.lock(f"snapshot.{key.hex}"):
            if not self.missing(key) and os.path.isdir(self._folder / key.hex / "fs"):
                return
            with full_disk_explained(self._store.root), self._store.scratch() as scratch:
                (scratch / "fs").mkdir(mode=0o755)
                if key in self._cannot:
                    (scratch / "reason").write_text(self._cannot[key], encoding="utf-8")
                job.unpack(span, scratch / "fs")
                self.publish(scratch, key, job.chain, span.top)

"""An OCI image layout directory as a Repository (OCI image-spec, image-layout.md).

Blobs are here whole or not at all (`layers.moving.outside`); index.json is replaced whole, under a lock, after what it
names is on the disk, and keeps what others wrote into it. Any number of processes may write into one layout; while one
does, nobody takes blobs away that nothing leads to yet (`layers.moving.layoutgc`).
"""

from __future__ import annotations

import os
import weakref
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from layers.disk.durable import sync
from layers.errors import BlobMissing, DocumentInvalid
from layers.moving import outside
from layers.moving.names import EMPTY, LAYOUT_FILE, Names
from layers.oci.descriptor import Descriptor
from layers.oci.digest import Digest
from layers.oci.documents import MAX_DOCUMENT, decode

OWN = frozenset({"blobs", "oci-layout", "index.json"})


class Layout:
    """One layout; names are what `org.opencontainers.image.ref.name` says, digests, `@N`, or "" for the only image."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._where = f"the layout {root}"

    @classmethod
    def at(cls, root: Path) -> Layout:
        """A layout that is there. Raises BlobMissing, or DocumentInvalid for something else."""
        layout = cls(root)
        if not root.is_dir():
            raise BlobMissing(f"an OCI layout at {root}", f"{root.parent}")
        layout.names()
        if (root / "oci-layout").exists():
            raw = outside.read_small(root / "oci-layout", "oci-layout", layout._where)
            check_version(raw)
        return layout

    @classmethod
    def create(cls, root: Path) -> Layout:
        """A layout to write into, made if need be. Raises DocumentInvalid if the directory holds something else."""
        try:
            root.mkdir(parents=True, exist_ok=True)
        except (NotADirectoryError, FileExistsError) as error:
            raise DocumentInvalid(f"layout {root}", "it is no directory") from error
        if not (root / "index.json").exists():
            strangers = {entry.name for entry in root.iterdir() if not entry.name.startswith(".")} - OWN
            if strangers:
                raise DocumentInvalid(f"layout {root}", f"it holds {min(strangers)!r} and is no OCI layout")
            (root / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
            with outside.locked(root):
                if not (root / "index.json").exists():
                    outside.replace(root, "oci-layout", LAYOUT_FILE)
                    outside.replace(root, "index.json", Names(EMPTY).raw)
        layout = cls.at(root)
        with suppress(FileNotFoundError):
            weakref.finalize(layout, os.close, outside.sharing(root / "blobs"))
        return layout

    def names(self) -> Names:
        """What index.json says now. Raises BlobMissing, DocumentInvalid."""
        return Names.parse(outside.read_small(self.root / "index.json", "index.json", self._where))

    # -- layers.Repository -----------------------------------------------------------------------

    def resolve(self, name: str) -> Descriptor:
        """What a name points to. Raises BlobMissing, NameAmbiguous."""
        return self.names().resolve(name, self._where, self._document)

    def has(self, wanted: Descriptor) -> bool:
        """True if the blob is here with its size; one that a crash of another tool cut short is not."""
        try:
            return self._path(wanted.digest).stat().st_size == wanted.size
        except OSError:
            return False

    def open(self, wanted: Descriptor) -> BinaryIO:
        """The bytes of a blob. Raises BlobMissing."""
        return outside.open_regular(self._path(wanted.digest), str(wanted.digest), self._where)

    def put(self, wanted: Descriptor, source: BinaryIO) -> None:
        """Keep content. Raises BlobMismatch."""
        if not self.has(wanted):
            outside.keep(self._path(wanted.digest), wanted, source)

    def tag(self, name: str, target: Descriptor) -> None:
        """Let a name point to a manifest or index that is here; "" lists it without a name. Raises BlobMissing."""
        self.enter(name, target)

    # -- what a layout can besides ---------------------------------------------------------------

    def enter(self, name: str, target: Descriptor, full: str | None = None) -> None:
        """`tag`, with the whole name that containerd and docker look for. Raises BlobMissing."""
        if not self.has(target):
            raise BlobMissing(str(target.digest), self._where)
        for algorithm in os.scandir(self.root / "blobs"):
            sync(Path(algorithm.path))
        with outside.locked(self.root):
            outside.replace(self.root, "index.json", self.names().pointing(name, target, full).raw)

    def tags(self) -> tuple[str, ...]:
        """Every name, sorted."""
        return self.names().listed()

    def delete(self, name: str) -> None:
        """Drop a name, or with a digest all its names; blobs stay. Raises BlobMissing."""
        with outside.locked(self.root):
            names = self.names()
            if (left := names.without(name)) == names:
                raise BlobMissing(f"{name or 'a name'}", self._where)
            outside.replace(self.root, "index.json", left.raw)

    # -- inside ----------------------------------------------------------------------------------

    def _document(self, digest: Digest) -> bytes:
        return outside.read_small(self._path(digest), str(digest), self._where, MAX_DOCUMENT)

    def _path(self, digest: Digest) -> Path:
        return self.root / "blobs" / digest.algorithm / digest.hex


def check_version(raw: bytes) -> None:
    """Refuse a layout of a version that we do not know. Raises DocumentInvalid."""
    version = decode(raw, "oci-layout").get("imageLayoutVersion")
    if version != "1.0.0":
        raise DocumentInvalid("oci-layout", f"version {version!r} of the layout is not 1.0.0")

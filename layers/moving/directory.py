"""One image in a flat directory, as skopeo's `dir:` has it: a Repository of a single, nameless image.

`manifest.json` is the image or index; images of an index are `<hex>.manifest.json`; blobs lie under the hexadecimal
digits of their digests; `version` says what this is. A new image in the same directory reuses the blobs that it shares
with the one before and takes the others away.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from layers.errors import BlobMissing, DigestInvalid, DocumentInvalid
from layers.moving import outside
from layers.oci import mediatypes
from layers.oci.descriptor import Descriptor
from layers.oci.digest import Digest
from layers.oci.documents import MAX_DOCUMENT, Index, Manifest, media_type_of

VERSION = b"Directory Transport Version: 1.1\n"
OURS = re.compile(r"(?:[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})(?:\.manifest\.json)?\Z")


class Directory:
    """A directory of skopeo's. Its only name is ""; its manifests are found by their digests, too."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._where = f"the directory {root}"

    @classmethod
    def at(cls, root: Path) -> Directory:
        """A directory that holds an image. Raises BlobMissing."""
        if not (root / "manifest.json").exists():
            raise BlobMissing(f"an image (manifest.json) at {root}", str(root.parent))
        return cls(root)

    @classmethod
    def create(cls, root: Path) -> Directory:
        """A directory to write into, made if need be. Raises DocumentInvalid if it holds something else."""
        try:
            root.mkdir(parents=True, exist_ok=True)
        except (NotADirectoryError, FileExistsError) as error:
            raise DocumentInvalid(f"directory {root}", "it is a file") from error
        if not (root / "version").exists():
            if strangers := {entry.name for entry in root.iterdir() if not entry.name.startswith(".")}:
                raise DocumentInvalid(f"directory {root}", f"it holds {min(strangers)!r} and no image")
            with outside.locked(root):
                outside.replace(root, "version", VERSION)
        return cls(root)

    # -- layers.Repository -----------------------------------------------------------------------

    def resolve(self, name: str) -> Descriptor:
        """The image ("") or one of its manifests by digest. Raises BlobMissing, DocumentInvalid."""
        main = None
        with suppress(BlobMissing):
            main = outside.read_small(self.root / "manifest.json", "manifest.json", self._where, MAX_DOCUMENT)
        if not name:
            if main is None:
                raise BlobMissing("an image (manifest.json)", self._where)
            return Descriptor.of(main, media_type_of(main, "manifest.json"))
        try:
            digest = Digest.parse(name)
        except DigestInvalid as error:
            raise BlobMissing(f"{name!r} (a dir: has one image, without a name)", self._where) from error
        if main is not None and Digest.of(main, digest.algorithm) == digest:
            raw = main
        else:
            raw = outside.read_small(self._path(digest, ".manifest.json"), name, self._where, MAX_DOCUMENT)
        found = Descriptor.of(raw, media_type_of(raw, f"manifest {name}"), digest.algorithm)
        if found.digest != digest:
            raise DocumentInvalid(f"manifest {digest}", f"the bytes that came have digest {found.digest}")
        return found

    def has(self, wanted: Descriptor) -> bool:
        """True if it is here with its size."""
        if wanted.media_type in mediatypes.DOCUMENTS:
            with suppress(BlobMissing, DocumentInvalid):
                return self.resolve(str(wanted.digest)).size == wanted.size
            return False
        try:
            return self._path(wanted.digest).stat().st_size == wanted.size
        except OSError:
            return False

    def open(self, wanted: Descriptor) -> BinaryIO:
        """The bytes. Raises BlobMissing."""
        if wanted.media_type in mediatypes.DOCUMENTS:
            path = self._path(wanted.digest, ".manifest.json")
            if not path.exists() and self.has(wanted):
                path = self.root / "manifest.json"
            return outside.open_regular(path, str(wanted.digest), self._where)
        return outside.open_regular(self._path(wanted.digest), str(wanted.digest), self._where)

    def put(self, wanted: Descriptor, source: BinaryIO) -> None:
        """Keep content. Raises BlobMismatch."""
        if self.has(wanted):
            return
        suffix = ".manifest.json" if wanted.media_type in mediatypes.DOCUMENTS else ""
        outside.keep(self._path(wanted.digest, suffix), wanted, source)

    def tag(self, name: str, target: Descriptor) -> None:
        """Make a manifest or index that is here the directory's image. Raises BlobMissing, DocumentInvalid."""
        if name:
            raise DocumentInvalid(f"name {name!r}", "a dir: holds one image, without a name")
        with self.open(target) as stream:
            raw = stream.read(MAX_DOCUMENT)
        with outside.locked(self.root):
            outside.replace(self.root, "manifest.json", raw)
            needed = {part for digest in self._reach(raw, target.media_type) for part in self._parts(digest)}
            needed -= set(self._parts(target.digest))
            for entry in os.scandir(self.root):
                if OURS.match(entry.name) and entry.name not in needed:
                    os.unlink(entry.path)

    # -- inside ----------------------------------------------------------------------------------

    def _path(self, digest: Digest, suffix: str = "") -> Path:
        return self.root / f"{digest.hex}{suffix}"

    def _parts(self, digest: Digest) -> tuple[str, str]:
        return digest.hex, f"{digest.hex}.manifest.json"

    def _reach(self, raw: bytes, media_type: str) -> Iterator[Digest]:
        """Everything that a document needs, of what is here."""
        if media_type in mediatypes.INDEXES:
            for entry in Index.parse(raw, media_type).manifests:
                yield entry.digest
                with suppress(BlobMissing), self.open(entry) as stream:
                    yield from self._reach(stream.read(MAX_DOCUMENT), entry.media_type)
        elif media_type in mediatypes.MANIFESTS:
            manifest = Manifest.parse(raw, media_type)
            yield from (blob.digest for blob in (manifest.config, *manifest.layers))

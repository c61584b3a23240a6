"""Images as one tar: OCI archives (image-spec, image-layout.md) and docker's (`manifest.json`).

What is written for docker is an OCI layout at the same time, as docker does since version 25: every tool reads it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO

from layers import mediatypes, tarread
from layers.descriptor import Descriptor
from layers.digest import Digest
from layers.documents import ImageConfig, Index, Manifest
from layers.entry import Entry, EntryType
from layers.errors import ArchiveInvalid, BlobMissing, DocumentInvalid
from layers.image import describe
from layers.ingest import bring
from layers.local import LocalRepository
from layers.reference import Reference
from layers.tarball import TarWriter
from layers.transfer import Packed, copy
from layers.tree import Content

if TYPE_CHECKING:
    from layers.store import Store

LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
REF_NAME = "org.opencontainers.image.ref.name"
FULL_NAME = "io.containerd.image.name"
Named = tuple[Descriptor, Sequence[Reference]]
"""A manifest or index of the store, and the names under which it goes out."""


def save(
    store: Store, images: Sequence[Named], sink: BinaryIO, *, kind: str, codec: str = "gzip", level: int | None = None
) -> None:
    """Write an archive of `kind` "oci" or "docker" (layers uncompressed). Raises BlobMissing and OSError."""
    packed = Packed(store, "none", force=True) if kind == "docker" else Packed(store, codec, level)
    entries: list[Descriptor] = []
    blobs: dict[Digest, Descriptor] = {}
    docker: list[dict[str, Any]] = []
    for target, names in images:
        found = packed.pack(target)
        for manifest in _reach(packed, found, blobs):
            if kind == "docker":
                docker.append(
                    {
                        "Config": _path(manifest.config.digest),
                        "RepoTags": [name.familiar for name in names if name.tag],
                        "Layers": [_path(layer.digest) for layer in manifest.layers],
                    }
                )
        for name in names:
            notes = {FULL_NAME: str(name), **({REF_NAME: name.tag} if name.tag else {})}
            entries.append(replace(found, annotations={**found.annotations, **notes}))
        if not names:
            entries.append(found)
    writer = TarWriter(sink.write)
    files = [("oci-layout", LAYOUT), ("index.json", Index.build(entries).raw)]
    if docker:
        files.append(("manifest.json", json.dumps(docker).encode()))
    for file, text in sorted(files):
        writer.add(Entry(file, EntryType.FILE, 0o644, size=len(text)), text)
    for directory in ("blobs", "blobs/sha256"):
        writer.add(Entry(directory, EntryType.DIR, 0o755))
    for digest in sorted(blobs, key=str):
        with packed.open(blobs[digest]) as data:
            writer.add(Entry(_path(digest), EntryType.FILE, 0o644, size=blobs[digest].size), data)
    writer.close()


def load(store: Store, source: BinaryIO) -> list[tuple[Descriptor, tuple[Reference, ...]]]:
    """Take in every image of an archive, compressed or not; what came, with its names.

    Raises ArchiveInvalid, DocumentInvalid, BlobMismatch.
    """
    with Archive.of(store, source) as archive:
        if archive.holds("index.json"):
            return archive.oci()
        if archive.holds("manifest.json"):
            return archive.docker()
        raise ArchiveInvalid("neither an OCI archive (index.json) nor docker's (manifest.json)")


class Archive:
    """An archive being read; a `layers.Repository` of its blobs."""

    def __init__(self, store: Store, file: BinaryIO, close: ExitStack) -> None:
        self._store = store
        self._file = file
        self._close = close
        self._entries = {entry.path: entry for entry in tarread.entries(file)}

    @classmethod
    def of(cls, store: Store, source: BinaryIO) -> Archive:
        """Put it on the disk first, uncompressed: it is read in any order, and may come from a pipe."""
        from layers.codec import decompress

        with ExitStack() as close:
            scratch = close.enter_context(store.scratch())
            plain = decompress(source)
            with (scratch / "archive").open("wb") as out:
                while piece := plain.read(1 << 20):
                    out.write(piece)
            file = close.enter_context((scratch / "archive").open("rb"))
            return cls(store, file, close.pop_all())

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._close.close()

    def holds(self, path: str) -> bool:
        """True if there is a file of that name."""
        return path in self._entries

    def read(self, path: str) -> bytes:
        """A small file. Raises ArchiveInvalid."""
        with self._content(path) as file:
            data: bytes = file.read(4 << 20)
        return data

    def oci(self) -> list[tuple[Descriptor, tuple[Reference, ...]]]:
        """The images of the layout."""
        index = Index.parse(self.read("index.json"), mediatypes.OCI_INDEX)
        found: dict[Digest, tuple[Descriptor, list[Reference]]] = {}
        for entry in index.manifests:
            names = found.setdefault(entry.digest, (entry, []))[1]
            called = entry.annotations.get(FULL_NAME) or entry.annotations.get(REF_NAME)
            if called and (FULL_NAME in entry.annotations or "/" in called or ":" in called):
                names.append(Reference.parse(called))
        loaded = []
        for entry, names in found.values():
            copy(self, str(entry.digest), Nameless(self._store), "", every=True)
            for name in names:
                self._store.images.tag(name, replace(entry, annotations={}))
            loaded.append((replace(entry, annotations={}), tuple(names)))
        return loaded

    def docker(self) -> list[tuple[Descriptor, tuple[Reference, ...]]]:
        """The images of docker's own format."""
        told = json.loads(self.read("manifest.json"))
        if not isinstance(told, list):
            raise DocumentInvalid("manifest.json", "not a list")
        loaded = []
        for one in told:
            config = ImageConfig.parse(self.read(str(one["Config"])))
            layers = []
            for path, diff_id in zip(one["Layers"], config.diff_ids, strict=True):
                with self._content(str(path)) as data:
                    layer = bring(self._store, data)
                if layer.diff_id != diff_id:
                    raise DocumentInvalid(f"layer {path}", f"it is {layer.diff_id}, the config says {diff_id}")
                layers.append(layer.descriptor)
            names = tuple(Reference.parse(tag) for tag in one.get("RepoTags") or ())
            image = self._store.images.add(describe(config, layers), config, names)
            loaded.append((image.target, names))
        return loaded

    # -- layers.Repository, as far as it is read -------------------------------------------------

    def resolve(self, name: str) -> Descriptor:
        """A digest of the index."""
        for entry in Index.parse(self.read("index.json"), mediatypes.OCI_INDEX).manifests:
            if str(entry.digest) == name:
                return replace(entry, annotations={})
        raise BlobMissing(name, "the archive")

    def has(self, wanted: Descriptor) -> bool:
        """True if the blob is in the archive."""
        return _path(wanted.digest) in self._entries

    def open(self, wanted: Descriptor) -> BinaryIO:
        """The bytes of a blob."""
        if not self.has(wanted):
            raise BlobMissing(str(wanted.digest), "the archive")
        return self._content(_path(wanted.digest))

    def _content(self, path: str) -> BinaryIO:
        entry = self._entries.get(path)
        hops = 0
        while entry is not None and entry.type in (EntryType.SYMLINK, EntryType.HARDLINK) and hops < 8:
            head = path.rpartition("/")[0] if entry.type is EntryType.SYMLINK else ""
            parts: list[str] = []
            for part in f"{head}/{entry.linkname}".split("/"):
                if part == "..":
                    del parts[-1:]
                elif part not in ("", "."):
                    parts.append(part)
            path = "/".join(parts)
            entry, hops = self._entries.get(path), hops + 1
        if entry is None or entry.type is not EntryType.FILE:
            raise ArchiveInvalid(f"{path} is not in it")
        return io.BufferedReader(Content(Shared(self._file), entry), 1 << 20)  # type: ignore[arg-type]

    def put(self, wanted: Descriptor, source: BinaryIO) -> None:
        """Archives are not changed."""
        raise BlobMissing(str(wanted.digest), "an archive that is being read")

    def tag(self, name: str, target: Descriptor) -> None:
        """Archives are not changed."""
        raise BlobMissing(name, "an archive that is being read")


class Nameless(LocalRepository):
    """The store, taking images in without a name."""

    def tag(self, name: str, target: Descriptor) -> None:
        """Names are given afterwards."""


class Shared:
    """A file that several readers use; it stays open."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def fileno(self) -> int:
        """Its descriptor."""
        return self._file.fileno()

    def close(self) -> None:
        """Its owner closes it."""


def _path(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.hex}"


def _reach(packed: Packed, target: Descriptor, blobs: dict[Digest, Descriptor]) -> Iterator[Manifest]:
    """Every manifest of a target; all blobs are added to `blobs`."""
    blobs[target.digest] = target
    with packed.open(target) as stream:
        raw = stream.read()
    if target.media_type in mediatypes.INDEXES:
        for entry in Index.parse(raw, target.media_type).manifests:
            if packed.has(entry):
                yield from _reach(packed, entry, blobs)
        return
    manifest = Manifest.parse(raw, target.media_type)
    for blob in (manifest.config, *manifest.layers):
        blobs[blob.digest] = blob
    yield manifest

"""docker's own archive format, read as a Repository: `manifest.json` names configs and layers by file.

There are no manifests in it, so one is made for each image, always the same: the config and the layers as they lie
there, under OCI's media types. Layers are usually plain tars, whose names are the config's DiffIDs; a compressed one is
hashed when its image is first asked for.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any, BinaryIO

from layers.errors import ArchiveInvalid, BlobMissing, DocumentInvalid, NameAmbiguous
from layers.moving.members import Members
from layers.moving.names import reference
from layers.moving.repository import ReadOnly
from layers.oci import mediatypes
from layers.oci.descriptor import Descriptor
from layers.oci.digest import DiffID, Digest
from layers.oci.documents import ImageConfig, Manifest
from layers.oci.image import describe
from layers.oci.reference import Reference
from layers.quick import dataclass
from layers.tar import tarread
from layers.tar.codec import codec_of

CODECS = {"gzip": mediatypes.OCI_LAYER_GZIP, "zstd": mediatypes.OCI_LAYER_ZSTD}


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of manifest.json."""

    config: str
    layers: tuple[str, ...]
    names: tuple[Reference, ...]


class DockerArchive(ReadOnly):
    """An archive that `docker save` wrote before version 25, or skopeo; names are references, digests, `@N` or ""."""

    def __init__(self, members: Members, where: str = "the archive") -> None:
        self._members = members
        self.where = where
        self._files: dict[Digest, str] = {}
        self._documents: dict[Digest, bytes] = {}
        self._made: dict[int, Manifest] = {}

    @cached_property
    def listed(self) -> tuple[Listed, ...]:
        """What manifest.json says. Raises DocumentInvalid."""
        raw = self._members.read("manifest.json")
        try:
            told = json.loads(raw)
            if not isinstance(told, list):
                raise TypeError("no list")
            return tuple(self._line(one) for one in told)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DocumentInvalid("manifest.json", "not a list of images with Config and Layers") from error

    def images(self) -> list[tuple[Descriptor, tuple[Reference, ...]]]:
        """Every image and its names."""
        return [(self._manifest(at).descriptor, line.names) for at, line in enumerate(self.listed)]

    def tags(self) -> tuple[str, ...]:
        """Every name, sorted."""
        return tuple(sorted({name.familiar for line in self.listed for name in line.names}))

    def resolve(self, name: str) -> Descriptor:
        """The image that a name means. Raises BlobMissing, NameAmbiguous, DocumentInvalid."""
        numbers: Sequence[int] = range(len(self.listed))
        if name.startswith("@"):
            numbers = [int(name[1:])] if name[1:].isdecimal() and int(name[1:]) in numbers else []
        elif name.startswith("sha256:"):
            found = [at for at in numbers if name in (str(self._manifest(at).descriptor.digest), self._id(at))]
            numbers = found[:1]
        elif name:
            wanted = reference(name)
            numbers = [at for at in numbers if wanted in self.listed[at].names]
        if not numbers:
            raise BlobMissing(f"image {name!r} (names there: {', '.join(self.tags()) or 'none'})", self.where)
        if len(numbers) > 1:
            raise NameAmbiguous(name or self.where, self.tags(), help="choose by a name, or by @0, @1, ...")
        return self._manifest(numbers[0]).descriptor

    def has(self, wanted: Descriptor) -> bool:
        """True for the manifests that were resolved, their configs and layers."""
        return wanted.digest in self._documents or wanted.digest in self._files

    def open(self, wanted: Descriptor) -> BinaryIO:
        """The bytes. Raises BlobMissing."""
        if (raw := self._documents.get(wanted.digest)) is not None:
            return io.BytesIO(raw)
        if (path := self._files.get(wanted.digest)) is None:
            raise BlobMissing(str(wanted.digest), self.where)
        return self._members.open(path)

    def _line(self, one: Any) -> Listed:
        names = tuple(Reference.parse(tag) for tag in one.get("RepoTags") or ())
        return Listed(str(one["Config"]), tuple(map(str, one["Layers"] or ())), names)

    def _id(self, at: int) -> str:
        return str(self._manifest(at).config.digest)

    def _manifest(self, at: int) -> Manifest:
        if at not in self._made:
            line = self.listed[at]
            config = ImageConfig.parse(self._members.read(line.config))
            if len(line.layers) != len(config.diff_ids):
                raise DocumentInvalid(
                    "manifest.json", f"{len(line.layers)} layers for {len(config.diff_ids)} diff ids of {line.config}"
                )
            layers = [self._layer(*pair) for pair in zip(line.layers, config.diff_ids, strict=True)]
            manifest = describe(config, layers)
            self._documents[config.digest] = config.raw
            self._documents[manifest.descriptor.digest] = manifest.raw
            self._made[at] = manifest
        return self._made[at]

    def _layer(self, path: str, diff_id: DiffID) -> Descriptor:
        with self._members.open(path) as data:
            head = data.read(tarread.BLOCK)
            codec = codec_of(head)
            if codec not in CODECS:
                found = Descriptor(mediatypes.OCI_LAYER, diff_id, self._members.size(path))
            else:
                hasher = hashlib.sha256(head)
                while piece := data.read(1 << 20):
                    hasher.update(piece)
                digest = Digest("sha256", hasher.hexdigest())
                found = Descriptor(CODECS[codec], digest, self._members.size(path))
        self._files[found.digest] = path
        return found


def is_plain(members: Members) -> bool:
    """True if an archive is docker's without an OCI layout inside. Raises ArchiveInvalid if it is neither."""
    if members.holds("index.json"):
        return False
    if members.holds("manifest.json"):
        return True
    raise ArchiveInvalid("neither an OCI archive (index.json) nor docker's (manifest.json)")

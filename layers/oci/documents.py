"""Manifest, index and image config as values (OCI image-spec, manifest.md, image-index.md, config.md).

A document keeps the bytes that it was read from, so its digest and its unknown fields survive;
only documents that we author are serialised, always in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from layers.errors import BlobMismatch, DocumentInvalid, PlatformMissing
from layers.oci import mediatypes
from layers.oci.descriptor import Descriptor
from layers.oci.digest import DiffID, Digest
from layers.oci.platform import Platform
from layers.quick import dataclass, field
from layers.quickjson import dumps, loads

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from datetime import datetime
    from typing import Any, BinaryIO

MAX_DOCUMENT = 4 << 20
"""Bytes of a manifest, index or config that we are willing to read."""


def encode(value: Mapping[str, Any]) -> bytes:
    """The one way in which we write JSON documents. Raises DocumentInvalid for text that is no Unicode."""
    try:
        return dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise DocumentInvalid(
            "document", f"a text in it is no Unicode: {error.object[error.start - 9 : error.end + 9]!r}"
        ) from error


def decode(raw: bytes, what: str) -> dict[str, Any]:
    """Read a JSON object; duplicate keys, NaN and absurd nesting are errors. Raises DocumentInvalid.

    Halves of surrogate pairs become U+FFFD, as Go's tools read them: nothing can be written that has one in it.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise DocumentInvalid(what, "a key occurs twice in one object")
        return found

    def number(text: str) -> Any:
        raise DocumentInvalid(what, f"{text} is not JSON")

    if len(raw) > MAX_DOCUMENT:
        raise DocumentInvalid(what, f"larger than {MAX_DOCUMENT} bytes")
    try:
        value = loads(raw, object_pairs_hook=unique, parse_constant=number)
    except (ValueError, RecursionError) as error:
        raise DocumentInvalid(what, f"not JSON: {str(error) or 'nested too deeply'}") from error
    if b"\\ud" in raw or b"\\uD" in raw:
        value = whole(value)
    if not isinstance(value, dict):
        raise DocumentInvalid(what, "not a JSON object")
    return value


def whole(value: Any) -> Any:
    """A JSON value whose texts are Unicode."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {whole(key): whole(inner) for key, inner in value.items()}
    return [whole(inner) for inner in value] if isinstance(value, list) else value


def media_type_of(raw: bytes, what: str) -> str:
    """What a manifest or index is, from its own text, where nobody announced it. Raises DocumentInvalid."""
    value = decode(raw, what)
    said = value.get("mediaType")
    if said in mediatypes.MANIFESTS | mediatypes.INDEXES:
        return str(said)
    if value.get("schemaVersion") == 1:
        raise DocumentInvalid(what, "a manifest of schema 1, which had no trustworthy digest; convert it elsewhere")
    if said is not None:
        raise DocumentInvalid(what, f"media type {said!r} is neither a manifest nor an index")
    if "manifests" in value:
        return mediatypes.OCI_INDEX
    if "layers" in value and "config" in value:
        return mediatypes.OCI_MANIFEST
    raise DocumentInvalid(what, "neither a manifest nor an index")


def check_size(wanted: Descriptor, most: int = MAX_DOCUMENT) -> None:
    """Raises DocumentInvalid for what is too large to be a document, before a byte of it is fetched."""
    if wanted.size > most:
        raise DocumentInvalid(f"document {wanted.digest}", f"larger than {most} bytes")


def read_document(wanted: Descriptor, source: BinaryIO, most: int = MAX_DOCUMENT) -> bytes:
    """A document read whole and verified. Raises BlobMismatch, and DocumentInvalid if it has more than `most` bytes."""
    check_size(wanted, most)
    pieces = []
    left = wanted.size + 1
    while left and (piece := source.read(left)):
        pieces.append(piece)
        left -= len(piece)
    raw = b"".join(pieces)
    met = Digest.of(raw, wanted.digest.algorithm)
    if len(raw) != wanted.size or met != wanted.digest:
        raise BlobMismatch(wanted, received=len(raw), digest=str(met))
    return raw


@dataclass(frozen=True)
class Manifest:
    """One image: its config and its layers, base first."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    raw: bytes
    annotations: Mapping[str, str] = field(default_factory=dict)
    subject: Descriptor | None = None
    artifact_type: str | None = None

    @classmethod
    def parse(cls, raw: bytes, media_type: str) -> Manifest:
        """Read a manifest that was announced as `media_type`. Raises DocumentInvalid."""
        value = decode(raw, "manifest")
        check_kind(value, media_type, mediatypes.MANIFESTS, "manifest", forbidden=("manifests",))
        layers = value.get("layers")
        if not isinstance(layers, list):
            raise DocumentInvalid("manifest", "layers is not a list")
        subject = value.get("subject")
        return cls(
            media_type,
            Descriptor.from_json(value.get("config"), what="manifest config"),
            tuple(Descriptor.from_json(layer, what="manifest layer") for layer in layers),
            raw,
            notes_of(value, "manifest"),
            Descriptor.from_json(subject, what="manifest subject") if subject else None,
            str(value.get("artifactType") or "") or None,
        )

    @classmethod
    def build(
        cls,
        config: Descriptor,
        layers: Sequence[Descriptor],
        *,
        media_type: str = mediatypes.OCI_MANIFEST,
        annotations: Mapping[str, str] | None = None,
    ) -> Manifest:
        """Author a manifest."""
        value: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": config.to_json(),
            "layers": [layer.to_json() for layer in layers],
        }
        if annotations:
            value["annotations"] = dict(sorted(annotations.items()))
        return cls(media_type, config, tuple(layers), encode(value), dict(annotations or {}))

    @property
    def descriptor(self) -> Descriptor:
        """The pointer to this document."""
        return Descriptor.of(self.raw, self.media_type)


def is_image(manifest: Manifest) -> bool:
    """True if it can be run: an image config over layers that we can read; False for other artifacts."""
    kinds = {mediatypes.codec_of(layer.media_type) for layer in manifest.layers}
    return manifest.config.media_type in mediatypes.CONFIGS and None not in kinds


@dataclass(frozen=True)
class Index:
    """Several manifests under one name, usually one a platform."""

    media_type: str
    manifests: tuple[Descriptor, ...]
    raw: bytes
    annotations: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, raw: bytes, media_type: str) -> Index:
        """Read an index that was announced as `media_type`. Raises DocumentInvalid."""
        value = decode(raw, "index")
        check_kind(value, media_type, mediatypes.INDEXES, "index", forbidden=("layers", "config"))
        manifests = value.get("manifests")
        if not isinstance(manifests, list):
            raise DocumentInvalid("index", "manifests is not a list")
        if len(manifests) > 1000:
            raise DocumentInvalid("index", f"{len(manifests)} entries; the limit is 1000")
        return cls(
            media_type,
            tuple(Descriptor.from_json(entry, what="index entry") for entry in manifests),
            raw,
            notes_of(value, "index"),
        )

    @classmethod
    def build(
        cls,
        manifests: Sequence[Descriptor],
        *,
        media_type: str = mediatypes.OCI_INDEX,
        annotations: Mapping[str, str] | None = None,
    ) -> Index:
        """Author an index."""
        value: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": media_type,
            "manifests": [entry.to_json() for entry in manifests],
        }
        if annotations:
            value["annotations"] = dict(sorted(annotations.items()))
        return cls(media_type, tuple(manifests), encode(value), dict(annotations or {}))

    @property
    def descriptor(self) -> Descriptor:
        """The pointer to this document."""
        return Descriptor.of(self.raw, self.media_type)

    def choose(self, wanted: Platform) -> Descriptor:
        """The entry to run on `wanted`: the best variant, the first of equals. Raises PlatformMissing."""
        usable = [entry for entry in self.manifests if runnable(entry)]
        for candidate in wanted.candidates():
            for entry in usable:
                there = entry.platform
                if there and Platform(there.os, there.architecture, there.variant) == candidate:
                    return entry
        raise PlatformMissing(str(wanted), tuple(dict.fromkeys(str(entry.platform) for entry in usable)))


def runnable(entry: Descriptor) -> bool:
    """False for attestations and other entries of an index that are no image of a platform."""
    if "vnd.docker.reference.type" in entry.annotations:
        return False
    return entry.platform is not None and entry.platform.os != "unknown"


@dataclass(frozen=True)
class History:
    """One line of an image's history (OCI image-spec, config.md, "history")."""

    created: str | None = None
    created_by: str | None = None
    author: str | None = None
    comment: str | None = None
    empty_layer: bool = False

    def to_json(self) -> dict[str, Any]:
        """The history object."""
        value: dict[str, Any] = {}
        for key in ("created", "created_by", "author", "comment"):
            if (word := getattr(self, key)) is not None:
                value[key] = word
        if self.empty_layer:
            value["empty_layer"] = True
        return value


@dataclass(frozen=True)
class ImageConfig:
    """The config of an image; `runtime` is its `config` object with the keys of the specification."""

    raw: bytes
    platform: Platform
    diff_ids: tuple[DiffID, ...]
    history: tuple[History, ...]
    runtime: Mapping[str, Any]
    created: str | None = None
    author: str | None = None

    @classmethod
    def parse(cls, raw: bytes) -> ImageConfig:
        """Read a config. Raises DocumentInvalid."""
        value = decode(raw, "image config")
        rootfs = value.get("rootfs")
        if not isinstance(rootfs, dict) or not isinstance(rootfs.get("diff_ids") or [], list):
            raise DocumentInvalid("image config", "rootfs.diff_ids is missing")
        history = value.get("history") or []
        runtime = value.get("config") or {}
        if not isinstance(history, list) or not isinstance(runtime, dict):
            raise DocumentInvalid("image config", "history must be a list and config an object")
        return cls(
            raw,
            Platform.from_json(value),
            tuple(Digest.parse(str(diff_id)) for diff_id in rootfs.get("diff_ids") or []),
            tuple(
                History(
                    text_of(line, "created"),
                    text_of(line, "created_by"),
                    text_of(line, "author"),
                    text_of(line, "comment"),
                    bool(line.get("empty_layer")),
                )
                for line in history
                if isinstance(line, dict)
            ),
            runtime,
            text_of(value, "created"),
            text_of(value, "author"),
        )

    @classmethod
    def build(
        cls,
        *,
        platform: Platform,
        diff_ids: Sequence[DiffID],
        history: Sequence[History],
        runtime: Mapping[str, Any],
        created: str | None,
        author: str | None = None,
    ) -> ImageConfig:
        """Author a config."""
        value: dict[str, Any] = {}
        if created:
            value["created"] = created
        if author:
            value["author"] = author
        value.update(platform.to_json())
        value["config"] = dict(runtime)
        value["rootfs"] = {"type": "layers", "diff_ids": [str(diff_id) for diff_id in diff_ids]}
        value["history"] = [line.to_json() for line in history]
        return cls.parse(encode(value))

    @property
    def digest(self) -> Digest:
        """The image id."""
        return Digest.of(self.raw)

    def descriptor(self, media_type: str = mediatypes.OCI_CONFIG) -> Descriptor:
        """The pointer to this document."""
        return Descriptor.of(self.raw, media_type)


def notes_of(value: Mapping[str, Any], what: str) -> dict[str, str]:
    """The annotations of a document. Raises DocumentInvalid."""
    found = value.get("annotations") or {}
    if not isinstance(found, dict):
        raise DocumentInvalid(what, "annotations is not an object")
    return {key: str(word) for key, word in found.items()}


def check_kind(
    value: Mapping[str, Any], announced: str, known: frozenset[str], what: str, *, forbidden: Sequence[str]
) -> None:
    """Refuse type confusion (CVE-2021-41190): a document is of one kind and says the same everywhere."""
    if announced not in known:
        raise DocumentInvalid(what, f"media type {announced!r} is no {what} that we read")
    if value.get("schemaVersion") != 2:
        raise DocumentInvalid(what, f"schemaVersion is {value.get('schemaVersion')!r}, expected 2")
    if value.get("mediaType", announced) != announced:
        raise DocumentInvalid(what, f"it says mediaType {value['mediaType']!r}, but was announced as {announced!r}")
    for key in forbidden:
        if key in value:
            raise DocumentInvalid(what, f"it has {key!r}, which makes it two kinds of document at once")


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC as docker writes it in a config's `created`: no zeros at the end of a second's fraction."""
    from datetime import UTC

    text = moment.astimezone(UTC).isoformat().removesuffix("+00:00")
    return (text.rstrip("0") if "." in text else text) + "Z"


def text_of(value: Mapping[str, Any], key: str) -> str | None:
    """A text of a config, or None. Raises DocumentInvalid."""
    found = value.get(key)
    if not isinstance(found, str | None):
        raise DocumentInvalid("image config", f"{key} is no text")
    return found

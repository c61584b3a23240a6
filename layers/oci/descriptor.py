"""A pointer to content: media type, digest, size (OCI image-spec, descriptor.md)."""

from __future__ import annotations

from collections.abc import Mapping

from layers.errors import DocumentInvalid
from layers.oci.digest import Digest
from layers.oci.platform import Platform
from layers.quick import dataclass, field

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from typing import Any

MAX_SIZE = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Names bytes and says what they are. Sizes are bytes."""

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    urls: tuple[str, ...] = ()
    artifact_type: str | None = None
    data: bytes | None = None

    @classmethod
    def of(cls, data: bytes, media_type: str, algorithm: str = "sha256") -> Descriptor:
        """The descriptor of some bytes in memory."""
        return cls(media_type, Digest.of(data, algorithm), len(data))

    @classmethod
    def from_json(cls, value: object, *, what: str = "descriptor") -> Descriptor:
        """Read a descriptor object; raises DocumentInvalid or DigestInvalid."""
        if not isinstance(value, dict):
            raise DocumentInvalid(what, "not a JSON object")
        media_type, digest, size = value.get("mediaType"), value.get("digest"), value.get("size")
        if not isinstance(media_type, str) or not media_type:
            raise DocumentInvalid(what, "mediaType is missing")
        if not isinstance(digest, str):
            raise DocumentInvalid(what, "digest is missing")
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MAX_SIZE:
            raise DocumentInvalid(what, f"size {size!r} is not a number of bytes")
        annotations = value.get("annotations") or {}
        platform = value.get("platform")
        urls = value.get("urls") or []
        if not isinstance(annotations, dict) or not isinstance(platform, dict | None) or not isinstance(urls, list):
            raise DocumentInvalid(what, "annotations and platform must be objects, urls a list")
        found = cls(
            media_type,
            Digest.parse(digest),
            size,
            Platform.from_json(platform) if platform else None,
            {str(key): str(word) for key, word in annotations.items()},
            tuple(map(str, urls)),
            str(value.get("artifactType") or "") or None,
            embedded(value.get("data"), what),
        )
        if found.data is not None and Descriptor.of(found.data, media_type, found.digest.algorithm) != found.bare:
            raise DocumentInvalid(what, "its embedded data do not match its digest and size")
        return found

    @property
    def bare(self) -> Descriptor:
        """Media type, digest and size alone: what identifies content, without what an index says about it."""
        return Descriptor(self.media_type, self.digest, self.size)

    def to_json(self) -> dict[str, Any]:
        """The descriptor object, keys in the order of the specification."""
        value: dict[str, Any] = {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}
        if self.urls:
            value["urls"] = list(self.urls)
        if self.annotations:
            value["annotations"] = dict(sorted(self.annotations.items()))
        if self.data is not None:
            from base64 import b64encode

            value["data"] = b64encode(self.data).decode()
        if self.artifact_type:
            value["artifactType"] = self.artifact_type
        if self.platform:
            value["platform"] = self.platform.to_json()
        return value


def embedded(text: object, what: str) -> bytes | None:
    """The bytes of a `data` field, which may be missing. Raises DocumentInvalid."""
    if text is None:
        return None
    from base64 import b64decode

    try:
        if not isinstance(text, str):
            raise ValueError("no text")
        return b64decode(text, validate=True)
    except ValueError as error:
        raise DocumentInvalid(what, "its embedded data are not base64") from error

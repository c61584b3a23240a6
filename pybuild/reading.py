"""What an image says, wherever it is: its documents as bytes, and skopeo's summary of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from layers import Descriptor, Manifest, Platform, Repository


def chosen(there: Repository, found: Descriptor, platform: Platform | None) -> Descriptor:
    """The image of an index that fits a platform, this machine's by default. Raises PlatformMissing."""
    from layers import Index, Platform
    from layers.moving.repository import document
    from layers.oci import mediatypes

    if found.media_type not in mediatypes.INDEXES:
        return found
    return Index.parse(document(there, found), found.media_type).choose(platform or Platform.host()).bare


def parsed(there: Repository, image: Descriptor) -> Manifest:
    """The manifest of an image. Raises BlobMissing, BlobMismatch, DocumentInvalid."""
    from layers import Manifest
    from layers.moving.repository import document

    return Manifest.parse(document(there, image), image.media_type)


def config(there: Repository, image: Descriptor) -> bytes:
    """The config of an image. Raises BlobMissing, BlobMismatch, DocumentInvalid."""
    from layers.moving.repository import document

    return document(there, parsed(there, image).config)


def summary(
    there: Repository, found: Descriptor, platform: Platform | None, *, name: str, tags: tuple[str, ...]
) -> dict[str, Any]:
    """skopeo's object for what a name points to (skopeo-inspect(1)); of an index, one image and the index's digest."""
    from layers import ImageConfig
    from layers.moving.repository import document
    from layers.oci.documents import decode

    manifest = parsed(there, chosen(there, found, platform))
    raw = document(there, manifest.config)
    said = ImageConfig.parse(raw)
    return {
        **({"Name": name} if name else {}),
        "Digest": str(found.digest),
        "RepoTags": list(tags),
        "Created": said.created,
        "DockerVersion": str(decode(raw, "image config").get("docker_version") or ""),
        "Labels": said.runtime.get("Labels"),
        "Architecture": said.platform.architecture,
        "Os": said.platform.os,
        "Layers": [str(layer.digest) for layer in manifest.layers],
        "LayersData": [
            {
                "MIMEType": layer.media_type,
                "Digest": str(layer.digest),
                "Size": layer.size,
                "Annotations": dict(layer.annotations) or None,
            }
            for layer in manifest.layers
        ],
        "Env": said.runtime.get("Env"),
    }

"""An image as a value, and edits that make another image's documents of it.

Nothing here touches the disk: an edit gives a config and a manifest, `Images.add` keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from layers import mediatypes
from layers.chain import Chain
from layers.descriptor import Descriptor
from layers.digest import DiffID, Digest
from layers.documents import History, ImageConfig, Manifest, decode, encode
from layers.errors import DocumentInvalid
from layers.reference import Reference


@dataclass(frozen=True, slots=True)
class Image:
    """An image of the store.

    `id` is the digest of its config; `target` what its name points to (a manifest, or the index it
    was chosen from); `size` the bytes of its layers, uncompressed; `created` as the config says it.
    """

    id: Digest
    target: Descriptor
    manifest: Manifest
    config: ImageConfig
    references: tuple[Reference, ...]
    size: int
    created: str | None

    @property
    def chain(self) -> Chain:
        """Its layers as a stack."""
        return Chain(self.config.diff_ids)

    @property
    def lines(self) -> tuple[tuple[History, DiffID | None], ...]:
        """The history, oldest first, each line with the layer that it made; layers without a line come last."""
        rest = iter(self.config.diff_ids)
        told = [(line, None if line.empty_layer else next(rest, None)) for line in self.config.history]
        return (*told, *((History(None, None, None, None), diff_id) for diff_id in rest))


@dataclass(frozen=True, slots=True)
class NewLayer:
    """A layer to put on top: its raw tar, and its size in bytes."""

    diff_id: DiffID
    size: int

    @property
    def descriptor(self) -> Descriptor:
        """The layer as our manifests name it: the uncompressed tar."""
        return Descriptor(mediatypes.OCI_LAYER, self.diff_id, self.size)


def describe(config: ImageConfig, layers: Sequence[Descriptor]) -> Manifest:
    """The OCI manifest of a config and its layers, base first. Raises DocumentInvalid if they do not line up."""
    if len(layers) != len(config.diff_ids):
        raise DocumentInvalid("manifest", f"{len(layers)} layers for {len(config.diff_ids)} diff ids of the config")
    return Manifest.build(config.descriptor(), layers)


def append(
    image: Image,
    layer: NewLayer | None,
    history: History,
    *,
    runtime: Mapping[str, Any] | None = None,
    created: str | None = None,
    author: str | None = None,
) -> tuple[Manifest, ImageConfig]:
    """The image with one more line of history and, unless `layer` is None, one more layer.

    `runtime`, if given, replaces the config object (Env, Cmd …). What the config says beyond the
    specification is kept. Layers below stay the descriptors that they are.
    """
    line = History(history.created, history.created_by, history.author, history.comment, layer is None)
    config = edit(
        image.config,
        diff_ids=(*image.config.diff_ids, layer.diff_id) if layer else image.config.diff_ids,
        history=(*image.config.history, line),
        runtime=runtime,
        created=created or history.created,
        author=author,
    )
    layers = (*image.manifest.layers, layer.descriptor) if layer else image.manifest.layers
    return describe(config, oci(layers)), config


def edit(
    config: ImageConfig,
    *,
    diff_ids: Sequence[DiffID],
    history: Sequence[History],
    runtime: Mapping[str, Any] | None = None,
    created: str | None = None,
    author: str | None = None,
) -> ImageConfig:
    """A config with other layers and history, keeping fields that we do not know."""
    value = decode(config.raw, "image config")
    if created:
        value["created"] = created
    if author:
        value["author"] = author
    if runtime is not None:
        value["config"] = dict(runtime)
    value["rootfs"] = {"type": "layers", "diff_ids": [str(diff_id) for diff_id in diff_ids]}
    value["history"] = [line.to_json() for line in history]
    for stale in ("container", "container_config", "id", "parent"):
        value.pop(stale, None)  # docker's traces of another build
    return ImageConfig.parse(encode(value))


def oci(layers: Sequence[Descriptor]) -> tuple[Descriptor, ...]:
    """Layer descriptors under their OCI media types; docker's and OCI's mean the same bytes."""
    twins = {
        mediatypes.DOCKER_LAYER: mediatypes.OCI_LAYER,
        mediatypes.DOCKER_LAYER_GZIP: mediatypes.OCI_LAYER_GZIP,
    }
    return tuple(
        Descriptor(
            twins.get(layer.media_type, layer.media_type),
            layer.digest,
            layer.size,
            annotations=layer.annotations,
            urls=layer.urls,
        )
        for layer in layers
    )

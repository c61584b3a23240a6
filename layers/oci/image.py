"""An image as a value, and edits that make another image's documents of it.

Nothing here touches the disk: an edit gives a config and a manifest, `Images.add` keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from layers.errors import DocumentInvalid
from layers.oci import mediatypes
from layers.oci.chain import Chain
from layers.oci.descriptor import Descriptor
from layers.oci.digest import DiffID, Digest
from layers.oci.documents import History, ImageConfig, Manifest, decode, encode
from layers.oci.platform import Platform
from layers.oci.reference import Reference
from layers.quick import dataclass

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from typing import Any

BASE_NAME = "org.opencontainers.image.base.name"
BASE_DIGEST = "org.opencontainers.image.base.digest"
"""Annotations that say what an image stands on (OCI image-spec, annotations.md)."""


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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


def empty(platform: Platform, created: str) -> tuple[Manifest, ImageConfig]:
    """The documents of an image without layers: what an image from scratch begins with."""
    config = ImageConfig.build(platform=platform, diff_ids=(), history=(), runtime={}, created=created)
    return describe(config, ()), config


def stack(
    manifest: Manifest, config: ImageConfig, layers: Sequence[NewLayer], lines: Sequence[History]
) -> tuple[Manifest, ImageConfig]:
    """An image's documents with more layers on top and a line of history for each; what is there stays as written."""
    config = edit(
        config,
        diff_ids=(*config.diff_ids, *(layer.diff_id for layer in layers)),
        history=(*config.history, *lines),
        created=lines[-1].created if lines else None,
    )
    return rewrite(manifest, config, (*manifest.layers, *(layer.descriptor for layer in layers))), config


def edit(
    config: ImageConfig,
    *,
    diff_ids: Sequence[DiffID],
    history: Sequence[History],
    runtime: Mapping[str, Any] | None = None,
    created: str | None = None,
    author: str | None = None,
    platform: Platform | None = None,
) -> ImageConfig:
    """A config with other layers and history, keeping fields that we do not know; the same bytes if nothing differs."""
    before = decode(config.raw, "image config")
    value = dict(before)
    if created:
        value["created"] = created
    if author:
        value["author"] = author
    if platform is not None and platform != config.platform:
        for key in ("architecture", "os", "os.version", "os.features", "variant"):
            value.pop(key, None)
        value.update(platform.to_json())
    if runtime is not None and dict(runtime) != dict(config.runtime):
        value["config"] = dict(runtime)
    if tuple(diff_ids) != config.diff_ids:
        value["rootfs"] = {"type": "layers", "diff_ids": [str(diff_id) for diff_id in diff_ids]}
    if tuple(history) != config.history:
        value["history"] = [line.to_json() for line in history]
    if value == before:
        return config
    for stale in ("container", "container_config", "id", "parent"):
        value.pop(stale, None)  # docker's traces of another build
    return ImageConfig.parse(encode(value))


def rewrite(
    manifest: Manifest,
    config: ImageConfig,
    layers: Sequence[Descriptor],
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """A manifest with another config, other layers or annotations; all else it says is kept as it was written.

    That includes the descriptors of layers that stay. Docker's form knows neither annotations nor plain tars: it
    becomes OCI's where there are any. The same bytes come back if nothing differs. Raises DocumentInvalid.
    """
    if len(layers) != len(config.diff_ids):
        raise DocumentInvalid("manifest", f"{len(layers)} layers for {len(config.diff_ids)} diff ids of the config")
    before = decode(manifest.raw, "manifest")
    written = {layer.digest: said for layer, said in zip(manifest.layers, before["layers"], strict=True)}
    notes = dict(manifest.annotations if annotations is None else annotations)
    kind, config_kind = manifest.media_type, manifest.config.media_type
    stays = kind == mediatypes.OCI_MANIFEST or (not notes and all(_is_docker(layer) for layer in layers))
    if not stays:
        kind, config_kind = mediatypes.OCI_MANIFEST, mediatypes.OCI_CONFIG
    value = {**before, "mediaType": kind} if "mediaType" in before or not stays else dict(before)
    if config.digest != manifest.config.digest or config_kind != manifest.config.media_type:
        value["config"] = config.descriptor(config_kind).to_json()
    value["layers"] = [
        written[layer.digest] if stays and layer.digest in written else _as_oci(layer, written) for layer in layers
    ]
    if notes != dict(manifest.annotations):
        value.pop("annotations", None)
        if notes:
            value["annotations"] = dict(sorted(notes.items()))
    return manifest if value == before else Manifest.parse(encode(value), kind)


def _is_docker(layer: Descriptor) -> bool:
    return layer.media_type.startswith("application/vnd.docker.") and layer.media_type != mediatypes.DOCKER_LAYER


def _as_oci(layer: Descriptor, written: Mapping[Digest, Mapping[str, Any]]) -> dict[str, Any]:
    [named] = oci([layer])
    return {**written.get(layer.digest, named.to_json()), "mediaType": named.media_type}


def oci(layers: Sequence[Descriptor]) -> tuple[Descriptor, ...]:
    """Layer descriptors under their OCI media types; docker's and OCI's mean the same bytes."""
    foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar"
    twins = {
        mediatypes.DOCKER_LAYER: mediatypes.OCI_LAYER,
        mediatypes.DOCKER_LAYER_GZIP: mediatypes.OCI_LAYER_GZIP,
        "application/vnd.docker.image.rootfs.foreign.diff.tar": foreign,
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip": f"{foreign}+gzip",
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

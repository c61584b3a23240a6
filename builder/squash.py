"""Fewer layers, the same files: base layers stay byte for byte, history stays line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layers import Chain, History, ImageConfig, LayerError, Manifest, NewLayer, Reference
from layers.oci.image import BASE_DIGEST, BASE_NAME, edit, rewrite
from layers.quick import replace

if TYPE_CHECKING:
    from layers import Image, Store


def squash(
    store: Store, manifest: Manifest, config: ImageConfig, kept: int, line: History | None = None
) -> tuple[Manifest, ImageConfig]:
    """The image with everything above its `kept` lowest layers in one; itself if there is nothing to squash.

    The history of the squashed layers stays as lines without a layer. The new layer belongs to `line`, which is put
    after them, or else to the last of them. Raises BlobMissing.
    """
    from layers.making.merge import squash as merge

    above = config.diff_ids[kept:]
    if len(above) < 2:
        return manifest, config
    store.session.claim(*config.diff_ids)
    layer: NewLayer = merge(store, above, Chain(config.diff_ids[:kept]))
    history, seen = [], 0
    total = sum(not one.empty_layer for one in config.history) + (line is not None)
    for one in config.history:
        seen += not one.empty_layer
        inside = not one.empty_layer and kept < seen < total
        history.append(replace(one, empty_layer=True) if inside else one)
    config = edit(
        config,
        diff_ids=(*config.diff_ids[:kept], layer.diff_id),
        history=history if line is None else [*history, line],
        created=line.created if line is not None else None,
    )
    notes = dict(manifest.annotations)
    if not kept:  # no layer of a base is left
        notes.pop(BASE_NAME, None)
        notes.pop(BASE_DIGEST, None)
    return rewrite(manifest, config, [*manifest.layers[:kept], layer.descriptor], notes), config


def base_of(store: Store, image: Image) -> tuple[int, str]:
    """How many of an image's lowest layers are its base's, and what that is called; (0, "") if nothing tells.

    What the image's annotations name counts first, then the largest other image with a name whose layers are all at
    the bottom of this one. Either must be here.
    """
    for key in (BASE_DIGEST, BASE_NAME):
        if not (text := image.manifest.annotations.get(key)):
            continue
        try:
            depth = _below(image, store.images.get(text, image.config.platform))
        except LayerError:
            continue
        if depth:
            return depth, image.manifest.annotations.get(BASE_NAME) or text
    found: list[tuple[int, Reference]] = [
        (depth, other.references[0])
        for other in store.images.list()
        if other.references and (depth := _below(image, other)) < len(image.chain)
    ]
    depth, name = max(found, key=lambda one: one[0], default=(0, None))
    return (depth, name.familiar) if name is not None and depth else (0, "")


def _below(image: Image, base: Image) -> int:
    """The layers of `base` if they are the lowest of `image`, else none."""
    depth = len(base.chain)
    return depth if image.config.diff_ids[:depth] == base.config.diff_ids else 0

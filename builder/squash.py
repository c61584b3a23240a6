"""`--squash`: one layer instead of many; base layers stay byte for byte, history stays line by line."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from layers import Chain, ImageConfig, Manifest, NewLayer
from layers.image import describe, edit

if TYPE_CHECKING:
    from layers import Store


def squash(store: Store, manifest: Manifest, config: ImageConfig, kept: int) -> tuple[Manifest, ImageConfig]:
    """The image with everything above its `kept` lowest layers in one.

    The lines of the squashed layers stay as lines without a layer, but for the last of them, which has it.
    """
    from layers.merge import squash as merge

    above = config.diff_ids[kept:]
    if len(above) < 2:
        return manifest, config
    store.session.claim(*config.diff_ids)
    layer: NewLayer = merge(store, above, Chain(config.diff_ids[:kept]))
    history, seen = [], 0
    total = sum(not line.empty_layer for line in config.history)
    for line in config.history:
        seen += not line.empty_layer
        inside = not line.empty_layer and kept < seen < total
        history.append(replace(line, empty_layer=True) if inside else line)
    config = edit(config, diff_ids=(*config.diff_ids[:kept], layer.diff_id), history=history)
    squashed = describe(config, [*manifest.layers[:kept], layer.descriptor])
    if manifest.annotations:
        squashed = Manifest.build(squashed.config, squashed.layers, annotations=manifest.annotations)
    return squashed, config

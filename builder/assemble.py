"""From layers and config to the documents of an image. Touches nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from builder.executing.results import Made
from builder.graph import Outcome
from layers import Descriptor, DiffID, History, ImageConfig, Manifest, NewLayer
from layers.oci.image import describe

COMMENT = "pybuild.dockerfile.v0"


def assemble(
    outcome: Outcome, made: Mapping[int, Made], base: Sequence[Descriptor], annotations: Mapping[str, str], now: str
) -> tuple[Manifest, ImageConfig]:
    """The manifest and config of a result.

    `base` are the descriptors of the base image's layers, kept as they are; `now` is used where no step says when it
    was made, so a build that is all cached gives the same image again.
    """
    history = list(outcome.history)
    created = outcome.base.config.created if outcome.base is not None else None
    layers: list[NewLayer] = []
    times = [made[line.step].created for line in outcome.lines if line.step is not None]
    current = times[0] if times else created or now
    for line in outcome.lines:
        if line.step is not None:
            step = made[line.step]
            current = step.created
            layers.append(NewLayer(step.chain.diff_ids[-1], step.size))
        history.append(History(current, line.created_by, None, COMMENT, line.step is None))
    below = outcome.base.chain.diff_ids if outcome.base is not None else ()
    diff_ids: list[DiffID] = [*below, *(layer.diff_id for layer in layers)]
    config = ImageConfig.build(
        platform=outcome.platform,
        diff_ids=diff_ids,
        history=history,
        runtime=outcome.runtime,
        created=max([current, *times]) if outcome.lines else created or now,
        author=outcome.author or None,
    )
    descriptors = [*base, *(layer.descriptor for layer in layers)]
    manifest = describe(config, descriptors)
    if annotations:
        manifest = Manifest.build(manifest.config, manifest.layers, annotations=annotations)
    return manifest, config

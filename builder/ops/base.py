"""FROM: the layers of an image into the store."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from builder.errors import Cancelled
from builder.events import Event, StepProgress
from builder.graph import BaseImage

if TYPE_CHECKING:
    from builder.workbench import Workbench
    from layers import Descriptor, Digest, Repository


def fetch(bench: Workbench, image: BaseImage, emit: Callable[[Event], None], step: int, stop: threading.Event) -> None:
    """Copy an image from the registry of its reference; its name then points to it here.

    Raises what the registry raises, BlobMismatch and ArchiveInvalid, and Cancelled when `stop` is set.
    """
    from layers.moving.places import Places
    from layers.moving.transfer import copy
    from layers.tar.pipeline import Stopped

    there: Repository
    if image.layout is not None:
        from layers.moving.layout import Layout

        there = Layout.at(image.layout)
    else:
        assert bench.remote is not None
        there = bench.remote(image.reference)
    done: dict[Digest, int] = {}

    def progress(blob: Descriptor, moved: int, total: int) -> None:
        done[blob.digest] = moved
        emit(StepProgress(step, "fetched", sum(done.values()), None))

    try:
        copy(
            there,
            str(image.manifest.descriptor.digest),
            bench.store.repository(),
            None if image.layout is not None else str(image.reference),
            progress=progress,
            places=Places(bench.store),
            stop=stop,
        )
    except Stopped as error:
        raise Cancelled("the build was stopped") from error

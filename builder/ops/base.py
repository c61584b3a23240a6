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
    from layers import Descriptor, Digest


def fetch(bench: Workbench, image: BaseImage, emit: Callable[[Event], None], step: int, stop: threading.Event) -> None:
    """Copy an image from the registry of its reference; its name then points to it here.

    Raises what the registry raises, BlobMismatch and ArchiveInvalid, and Cancelled when `stop` is set.
    """
    from layers.moving.places import Places
    from layers.moving.transfer import copy
    from layers.tar.pipeline import Stopped

    assert bench.remote is not None
    done: dict[Digest, int] = {}

    def progress(blob: Descriptor, moved: int, total: int) -> None:
        done[blob.digest] = moved
        emit(StepProgress(step, "fetched", sum(done.values()), None))

    try:
        copy(
            bench.remote(image.reference),
            str(image.manifest.descriptor.digest),
            bench.store.repository(),
            str(image.reference),
            progress=progress,
            places=Places(bench.store),
            stop=stop,
        )
    except Stopped as error:
        raise Cancelled("the build was stopped") from error

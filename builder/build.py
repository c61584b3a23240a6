"""The whole road, from a request to an image."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from builder.events import Event
from builder.request import BuildRequest
from builder.span import Span
from builder.workbench import Workbench
from layers.quick import dataclass

if TYPE_CHECKING:
    from builder.caching.forecast import Expected
    from layers import Descriptor, Digest, Platform
    from runner import Usage


@dataclass(frozen=True, slots=True)
class StepReport:
    """What became of one step. `size` is the bytes of its layer's tar, `key` what its result is kept under."""

    id: int
    title: str
    stage: str
    span: Span
    status: Literal["ran", "cached", "skipped"]
    seconds: float = 0.0
    usage: Usage | None = None
    diff_id: Digest | None = None
    size: int | None = None
    reason: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class BuildResult:
    """A finished build.

    `image_ids` are config digests, one a platform in the order asked for; `target` is what the tags point to: the
    manifest, or with several platforms the index.
    """

    target: Descriptor
    image_ids: tuple[Digest, ...]
    platforms: tuple[Platform, ...]
    steps: tuple[StepReport, ...]
    size: int
    seconds: float
    inputs: tuple[Mapping[str, Any], ...] = ()
    """What went into each (`builder.builds`)."""
    exported: tuple[Descriptor, ...] = ()
    """What lies in registries and archives now: its layers may be compressed there, so it has another digest."""

    @property
    def image_id(self) -> Digest:
        """The id of the (first) image."""
        return self.image_ids[0]


def build(request: BuildRequest, bench: Workbench, emit: Callable[[Event], None], stop: threading.Event) -> BuildResult:
    """Build what `request` asks for; the image is in the store (and under its tags) before this returns.

    `emit` is called from several threads, one at a time. Raises BuildError, LayerError, RunnerError or an error of
    the registry; setting `stop` ends it with Cancelled.
    """
    from builder.road import Road

    turn = threading.Lock()

    def tell(event: Event) -> None:
        with turn:
            emit(event)

    return Road(request, bench, tell, stop).walk()


def forecast(request: BuildRequest, bench: Workbench, emit: Callable[[Event], None]) -> list[Expected]:
    """What `build` would do now, step by step; nothing is run. Warnings are emitted. Raises as `build`."""
    from builder.caching.forecast import forecast as foresee
    from builder.road import Road

    return foresee(Road(request, bench, emit, threading.Event()))

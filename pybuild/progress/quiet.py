"""No progress at all: `--quiet` prints the image id alone, and the command does that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from builder import BuildResult
    from builder.events import Event


class Quiet:
    """Shows nothing."""

    def __call__(self, event: Event) -> None:
        """Say nothing."""

    def finish(self, result: BuildResult, names: Sequence[str]) -> None:
        """Say nothing."""

    def close(self) -> None:
        """There is nothing to put in order."""

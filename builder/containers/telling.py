"""Notes for the event log of the store that a container lies in."""

from __future__ import annotations

from pathlib import Path

from layers.home.eventlog import EventLog

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from builder.containers.settings import Settings


def tell(folder: Path, settings: Settings, action: str, **attributes: str) -> None:
    """Note what happened to the container in `folder`, with docker's attributes: labels, image, name, and these."""
    words = {**settings.labels, "image": settings.image_name, "name": settings.name, **attributes}
    EventLog(folder.parent.parent).append("container", action, folder.name, words)

"""Containers for debugging: an image, a writable layer that stays, a process behind walls, no daemon.

This is the face of the package; what is behind a name is loaded when that is first used (PEP 562).
"""

from __future__ import annotations

from layers.faces import lazily

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from builder.containers.book import Containers
    from builder.containers.container import Container
    from builder.containers.errors import ContainerError, ContainerMissing, ContainerState, NameTaken
    from builder.containers.settings import Memory, Settings, Volume
    from builder.containers.state import State, Status

__getattr__ = lazily(
    __name__,
    {
        "book": ("Containers",),
        "container": ("Container",),
        "errors": ("ContainerError", "ContainerMissing", "ContainerState", "NameTaken"),
        "settings": ("Memory", "Settings", "Volume"),
        "state": ("State", "Status"),
    },
)

__all__ = [
    "Container",
    "ContainerError",
    "ContainerMissing",
    "ContainerState",
    "Containers",
    "Memory",
    "NameTaken",
    "Settings",
    "State",
    "Status",
    "Volume",
]

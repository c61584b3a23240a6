"""Containers for debugging: an image, a writable layer that stays, a process behind walls, no daemon."""

from builder.containers.book import Containers
from builder.containers.container import Container
from builder.containers.errors import ContainerError, ContainerMissing, ContainerState, NameTaken
from builder.containers.settings import Memory, Settings, Volume
from builder.containers.state import State, Status

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

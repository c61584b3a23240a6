"""Networks of containers: bridges of this host, leases of their addresses, published ports, names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from layers.disk.locks import is_locked


def leased(root: Path) -> bool:
    """Whether anybody has, or had, an address in a network of this store; nothing is loaded to find out."""
    return next(_leases(root), None) is not None


def forsaken(root: Path) -> bool:
    """Whether there is a lease that nobody holds: of one who was killed, or who has joined while it ran."""
    return not all(is_locked(path) for path in _leases(root))


def _leases(root: Path) -> Iterator[str]:
    with suppress(FileNotFoundError):
        for place in os.scandir(root / "networks"):
            with suppress(FileNotFoundError, NotADirectoryError):
                for name in os.listdir(f"{place.path}/leases"):
                    yield f"{place.path}/leases/{name}"

"""Networks of containers: bridges of this host, leases of their addresses, published ports, names."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def leased(root: Path) -> bool:
    """Whether anybody has, or had, an address in a network of this store; nothing is loaded to find out."""
    with suppress(FileNotFoundError):
        for place in os.scandir(root / "networks"):
            with suppress(FileNotFoundError, NotADirectoryError):
                if os.listdir(f"{place.path}/leases"):
                    return True
    return False

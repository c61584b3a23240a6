"""Which start of this machine it is: what is only in memory, or was never synced, is good for one of them."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def boot_id() -> str:
    """Names the time between two starts of this machine (random(4))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()

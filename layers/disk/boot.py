"""Which start of this machine it is: what is only in memory, or was never synced, is good for one of them."""

from __future__ import annotations

import os
from functools import cache


@cache
def boot_id() -> str:
    """Names the time between two starts of this machine (random(4))."""
    descriptor = os.open("/proc/sys/kernel/random/boot_id", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 64).decode().strip()
    finally:
        os.close(descriptor)

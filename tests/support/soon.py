"""Waiting for what happens beside other work."""

import time
from collections.abc import Callable


def soon(check: Callable[[], object], *, seconds: float = 60) -> bool:
    """Whether something becomes true within so many seconds."""
    until = time.monotonic() + seconds
    while not (found := check()) and time.monotonic() < until:
        time.sleep(0.001)
    return bool(found)

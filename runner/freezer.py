"""Pausing: nothing of a sandbox moves, and it keeps its memory and its processes."""

import time
from contextlib import suppress
from pathlib import Path

from runner.cgroups import Cgroup
from runner.delegation import hint
from runner.errors import PauseUnavailable
from runner.hierarchy import discover

PATIENCE = 2.0
"""Seconds until all have stopped. One that waits for memory in an out-of-memory group does not get there; it stays
where it is nevertheless."""
LOOK = 0.002


def freeze(group: Cgroup | None) -> None:
    """Pause every process inside, and wait until they stand still. Raises PauseUnavailable without a freezer."""
    if group is None:
        raise PauseUnavailable(hint(unified=discover().is_unified))
    group.freeze()
    until = time.monotonic() + PATIENCE
    while not _still(group) and time.monotonic() < until:
        time.sleep(LOOK)


def _still(group: Cgroup) -> bool:
    with suppress(OSError):
        if "freezer" in group.legacy:
            return (group.legacy["freezer"] / "freezer.state").read_text().strip() == "FROZEN"
        assert group.unified is not None
        return "frozen 1" in Path(group.unified, "cgroup.events").read_text().splitlines()
    return True

"""Taking away the control groups of the dead: those whose lock nobody holds."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from runner.cgroups import Cgroup, is_ours
from runner.hierarchy import Hierarchy, discover

PATIENCE = 0.5
"""Seconds that a sweep waits for a dead group's processes to go."""


def sweep(hierarchy: Hierarchy | None = None) -> list[Path]:
    """Kill and remove the groups whose owner is dead, in our own groups and beside them; what was removed."""
    there = discover() if hierarchy is None else hierarchy
    own = [*there.legacy.values(), *([there.unified] if there.unified else [])]
    swept: list[Path] = []
    for parent in dict.fromkeys(place for path in own for place in (path, path.parent)):
        with suppress(OSError):
            for path in (parent / name for name in os.listdir(parent) if is_ours(name)):
                if _sweep_one(path, path in (there.unified, *there.legacy.values())):
                    swept.append(path)
    return swept


def _sweep_one(path: Path, ours: bool) -> bool:
    try:
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not ours:
            is_unified = (path / "cgroup.kill").exists() or (path / "cgroup.controllers").exists()
            name = "freezer" if (path / "freezer.state").exists() else "any"
            Cgroup({} if is_unified else {name: path}, path if is_unified else None).remove(patience=PATIENCE)
            return True
    except OSError:
        return False  # alive, or too busy for now: the next sweep comes by
    finally:
        os.close(lock)
    return False

"""A version-2 group whose children may have controllers: our own, made fit for it, or its parent."""

import os
from contextlib import suppress
from pathlib import Path

from runner.files import text, write
from runner.hierarchy import Hierarchy
from runner.rootless import owner

ASIDE = "pybuild-self"
"""The leaf that we step aside into, where version 2 wants a group without processes of its own."""


def advice(*, unified: bool, given: bool = False) -> str:
    """What to do where a controller cannot be had: of version 2, or although a group has been `given` to us."""
    return f"{hint(unified=unified, given=given)}, or remove the limit"


def hint(*, unified: bool, given: bool = False) -> str:
    """The same, where nothing was asked for that one could do without."""
    if owner() is None:
        return "try `systemd-run --scope -p Delegate=yes pybuild …`"
    if not unified:
        words = "only root has those of version 1; `pybuild doctor` has the line for version 2"
    elif given:
        words = "systemd hands it on only where user@.service says so; `pybuild doctor` has the line"
    else:
        words = "try `systemd-run --user --scope -p Delegate=yes pybuild …`"
    return f"{words}, run as root"


def room(there: Hierarchy, wanted: set[str], needed: set[str]) -> Path:
    """The version-2 group, our own or its parent, whose children may have the `needed` controllers.

    A group with processes in it cannot hand controllers on: memory is refused ("no internal processes"), and cpu or
    pids would be worse, since its children then admit nobody ("domain threaded"). So if we are alone in ours we step
    aside into a leaf of it; else a sibling of our group is what can be had. Without either, groups only hold together.
    """
    own = there.unified
    assert own is not None
    if own.name == ASIDE:
        own = own.parent
    if not inhabited(own) or _step_aside(own):
        _hand_on(own, wanted)
    elif needed and own != there.unified_top and not inhabited(own.parent) and _hand_on(own.parent, wanted) >= needed:
        return own.parent
    return own


def inhabited(place: Path) -> bool:
    """Whether processes are in it itself. The root of the whole tree may have them and hand on nevertheless."""
    return (place / "cgroup.type").exists() and bool((place / "cgroup.procs").read_text())


def _hand_on(place: Path, wanted: set[str]) -> set[str]:
    """Enable what is possible of `wanted` for the children of `place`; what they then have."""
    for controller in sorted(wanted):
        with suppress(OSError):
            write(place / "cgroup.subtree_control", f"+{controller}")
    return set(text(place / "cgroup.subtree_control").split())


def _step_aside(place: Path) -> bool:
    """Move this process and its children into a leaf below its own group, if nobody else is there."""
    inside = (place / "cgroup.procs").read_text().split()
    with suppress(OSError):
        if all(int(pid) == os.getpid() or _parent(pid) == os.getpid() for pid in inside):
            leaf = place / ASIDE
            leaf.mkdir(exist_ok=True)
            for pid in inside:
                write(leaf / "cgroup.procs", pid)
            return True
    return False


def _parent(pid: str) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])

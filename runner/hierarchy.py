"""Which control groups this process can use: one directory per controller, of either version.

A host may mount version 1, version 2, or (hybrid) some controllers of one beside an almost empty tree of the other.
What counts is where each controller is and which group of it we are in ourselves: what we make lies below our own
group, or beside it where version 2 allows nothing below, so the limits of the group above still hold. See cgroups(7).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from layers.quick import dataclass
from runner.files import text

CONTROLLERS = ("memory", "cpu", "cpuacct", "pids", "cpuset", "freezer", "devices", "blkio", "net_cls")


@dataclass(frozen=True)
class Hierarchy:
    """Our own group: for each version-1 controller, and in the version-2 tree, with the top of each mount."""

    legacy: Mapping[str, Path]
    unified: Path | None
    unified_top: Path | None

    @property
    def is_unified(self) -> bool:
        """Whether version 2 is all there is."""
        return self.unified is not None and not self.legacy


def _unescape(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text


def mounted(groups: str, mounts: str) -> Iterator[tuple[tuple[str, ...], Path, Path]]:
    """Every mounted hierarchy that we have a place in: its controllers ("" for version 2), its top, our own group."""
    own: dict[str, str] = {}
    for line in groups.splitlines():
        _, names, path = line.split(":", 2)
        for name in names.split(",") if names else [""]:
            own[name] = path
    for line in mounts.splitlines():
        if " - cgroup" not in line:
            continue
        before, _, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")
        if kind[0] not in ("cgroup", "cgroup2"):
            continue
        root, point = _unescape(fields[3]), Path(_unescape(fields[4]))
        found = tuple(name for name in ([""] if kind[0] == "cgroup2" else kind[2].split(",")) if name in own)
        if not found:
            continue
        path = own[found[0]]
        if root != "/":
            # A mount that shows only part of the tree; outside that part we have no place.
            if path != root and not path.startswith(root + "/"):
                continue
            path = path[len(root) :]
        yield found, point, point / path.lstrip("/")


def read(groups: str, mounts: str) -> Hierarchy:
    """From the texts of /proc/self/cgroup and /proc/self/mountinfo."""
    legacy: dict[str, Path] = {}
    unified = top = None
    for names, point, place in mounted(groups, mounts):
        for name in names:
            if name == "" and unified is None:
                unified, top = place, point
            elif name in CONTROLLERS:
                legacy.setdefault(name, place)
    return Hierarchy(legacy, unified, top)


def discover() -> Hierarchy:
    """As the kernel tells it for this process, now."""
    return read(text("/proc/self/cgroup"), text("/proc/self/mountinfo"))

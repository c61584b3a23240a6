"""The control groups of a bundle's container: where `cgroupsPath` says, in every hierarchy that is mounted.

An absolute path begins at the top of each hierarchy, as runc has it; a relative one, or none, below our own group.
The groups belong to the container, not to a process of ours, so they carry no lock: `delete` takes them away.
"""

import errno
import os
import re
import time
from collections.abc import Iterator, Set
from contextlib import suppress
from pathlib import Path

from layers.quick import dataclass
from runner import guard
from runner.ceilings import Setting
from runner.cgroups import Cgroup, put
from runner.delegation import advice, inhabited, room
from runner.devices import HARMLESS, Rule
from runner.errors import LimitUnavailable
from runner.files import write
from runner.hierarchy import discover, mounted
from runner.oci import resources
from runner.oci.document import Node
from runner.owners import nested

UNIFIED = frozenset("memory pids cpu cpuset io hugetlb rdma".split())
"""What a group of version 2 is handed, but for what version 1 has."""
PATIENCE = 5.0
"""Seconds that groups get to become empty."""


@dataclass(frozen=True, slots=True)
class Place:
    """A hierarchy: its controllers as mountinfo orders them ("" for version 2), its top and our own group in it."""

    names: tuple[str, ...]
    top: Path
    own: Path


def hierarchies() -> list[Place]:
    """Every hierarchy that is mounted here, of either version."""
    found: dict[tuple[str, ...], Place] = {}
    for names, top, own in mounted(Path("/proc/self/cgroup").read_text(), Path("/proc/self/mountinfo").read_text()):
        found.setdefault(names, Place(names, top, own))
    return list(found.values())


def paths(wanted: str, container: str, limits: Node, *, systemd: bool = False) -> dict[tuple[str, ...], Path]:
    """Where the groups of a container with these `limits` are, by hierarchy. Raises ValueError, BundleInvalid."""
    if systemd and wanted.count(":") == 2:
        wanted = _scope(*wanted.split(":"))
    parts = [part for part in wanted.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ValueError(f"{wanted!r} leads upwards")
    absolute = wanted.startswith("/")
    return {
        place.names: (place.top if absolute else _room(place, limits)).joinpath(*(parts or [container]))
        for place in hierarchies()
    }


def _room(place: Place, limits: Node) -> Path:
    """Below which group of ours those of a container can be."""
    if place.names != ("",):
        return place.own
    there = discover()
    needed = {setting.controller for setting in resources.unified(limits)} if there.is_unified else set()
    return room(there, needed | (UNIFIED - there.legacy.keys()), needed)


def _scope(parent: str, prefix: str, name: str) -> str:
    """The path that systemd gives to `slice:prefix:name`."""
    parent = parent or "system.slice"
    if not parent.endswith(".slice") or "/" in parent:
        raise ValueError(f"{parent!r} is no slice")
    path, so_far = "", ""
    for part in parent.removesuffix(".slice").split("-") if parent != "-.slice" else []:
        so_far = f"{so_far}-{part}" if so_far else part
        path += f"/{so_far}.slice"
    unit = name if name.endswith(".slice") else f"{prefix}-{name}.scope" if prefix else f"{name}.scope"
    return f"{path}/{unit}"


def group(where: dict[tuple[str, ...], Path]) -> Cgroup:
    """The groups at these paths, as one."""
    legacy = {name: path for names, path in where.items() if names != ("",) for name in names}
    return Cgroup(legacy, where.get(("",)))


def names(found: Cgroup) -> dict[str, str]:
    """Where each is, as a record has it: by controller, "" for version 2."""
    unified = {} if found.unified is None else {"": str(found.unified)}
    return {name: str(path) for name, path in found.legacy.items()} | unified


def vacant(where: dict[tuple[str, ...], Path]) -> None:
    """See that nobody is in a group of these paths. Raises LimitUnavailable."""
    for names, path in where.items():
        with suppress(FileNotFoundError):
            if (path / "cgroup.procs").read_text():
                raise LimitUnavailable("resources", ",".join(names) or "v2", f"has processes in {path} already")


def shown(where: dict[tuple[str, ...], Path]) -> dict[tuple[str, ...], Path]:
    """The groups that a container is in: those at these paths; our own where there are none."""
    return {place.names: path if (path := where[place.names]).exists() else place.own for place in hierarchies()}


def create(where: dict[tuple[str, ...], Path], wanted: Node) -> Cgroup:
    """Make the groups and set their limits. Raises LimitUnavailable, leaving nothing behind that was not there.

    Who is root in a user namespace only has none but where groups were handed on, and no device that one could guard.
    """
    made: list[Path] = []
    there = dict(where)
    legacy = group(where).legacy
    try:
        for names, path in where.items():
            try:
                _make(path, made, names, UNIFIED - legacy.keys())
            except OSError as problem:
                if not nested():
                    reason = f"refuses {problem.filename} ({problem.strerror})"
                    raise LimitUnavailable("resources", ",".join(names) or "v2", reason) from problem
                del there[names]
        found = group(there)
        configure(found, wanted)
        if not nested():
            _guard(found, wanted)
    except BaseException:
        for path in reversed(made):
            with suppress(OSError):
                path.rmdir()
        raise
    return found


def configure(found: Cgroup, wanted: Node) -> None:
    """Set limits: each where its controller is. Raises LimitUnavailable, BundleInvalid."""
    settings: list[tuple[Path, Setting]] = []
    for setting in resources.legacy(wanted):
        if setting.controller in found.legacy:
            settings.append((found.legacy[setting.controller], setting))
        elif found.unified is None or not _in_unified(found.unified, setting.controller):
            raise _lacking(setting, unified=not found.legacy)
    if not found.legacy or not settings or any(True for _ in wanted.pairs("unified")):
        for setting in resources.unified(wanted):
            if setting.controller in found.legacy:
                continue
            if found.unified is None:
                raise _lacking(setting, unified=not found.legacy)
            settings.append((found.unified, setting))
    for folder, setting in _raised_first(settings):
        put(folder, setting)


def _lacking(setting: Setting, *, unified: bool) -> LimitUnavailable:
    fix = advice(unified=unified)
    return LimitUnavailable(setting.limit, setting.controller, "is not there for this process", fix)


def _raised_first(settings: list[tuple[Path, Setting]]) -> Iterator[tuple[Path, Setting]]:
    """Memory with swap must never be less than memory alone, so whichever grows goes first."""
    both = {setting.file: (folder, setting) for folder, setting in settings}
    swap = both.get("memory.memsw.limit_in_bytes")
    if swap is not None and "memory.limit_in_bytes" in both:
        now, wanted = _number(swap[0] / swap[1].file), int(swap[1].value)
        if now is not None and (wanted < 0 or wanted > now):
            yield swap
            settings = [one for one in settings if one is not swap]
    yield from settings


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _in_unified(path: Path, controller: str) -> bool:
    name = {"blkio": "io"}.get(controller, controller)
    try:
        return name in (path / "cgroup.controllers").read_text().split()
    except OSError:
        return False


def _make(path: Path, made: list[Path], names: tuple[str, ...], controllers: Set[str]) -> None:
    """Make a group and those above it, filled in as the hierarchy needs before anybody can enter."""
    missing = []
    at = path
    while not at.exists():
        missing.append(at)
        at = at.parent
    for one in reversed(missing):
        if names == ("",) and not inhabited(one.parent):  # else nobody could enter what is made
            for controller in controllers:
                with suppress(OSError):
                    write(one.parent / "cgroup.subtree_control", f"+{controller}")
        one.mkdir()
        made.append(one)
        if "cpuset" in names:
            for file in ("cpuset.cpus", "cpuset.mems"):
                write(one / file, (one.parent / file).read_text().strip())


def _guard(found: Cgroup, wanted: Node) -> None:
    """Which devices may be opened: as asked, and always those that every container needs."""
    rules = tuple(_rule(one) for one in wanted.tables("devices"))
    if not rules:
        return
    if "devices" in found.legacy:
        guard.restrict_legacy(found.legacy["devices"], (*rules, *HARMLESS))
    elif found.unified is not None:
        guard.restrict_unified(found.unified, (*rules, *HARMLESS))


def _rule(one: Node) -> Rule:
    kind = one.text("type", "a") or "a"
    access = one.text("access") or "rwm"
    if kind not in ("a", "b", "c") or not re.fullmatch("[rwm]+", access):
        raise one.fail("type" if kind not in ("a", "b", "c") else "access", "is not understood")
    numbers = [one.number(name, low=-1, high=2**32 - 1) for name in ("major", "minor")]
    major, minor = (None if number in (None, -1) else number for number in numbers)
    return Rule(kind, major, minor, access, one.flag("allow"))


def enter(found: Cgroup, pid: int) -> None:
    """Put a process in."""
    for path in found.paths:
        write(path / "cgroup.procs", str(pid))


def processes(found: Cgroup) -> list[int]:
    """Everybody inside, also in groups that were made below."""
    everybody: set[int] = set()
    for top in found.paths:
        for folder, _, _ in os.walk(top):
            with suppress(OSError):
                everybody.update(map(int, Path(folder, "cgroup.procs").read_text().split()))
    return sorted(everybody)


def remove(found: Cgroup) -> None:
    """Take the groups away with all below them. Raises OSError if processes stay."""
    until = time.monotonic() + PATIENCE
    for top in found.paths:
        while top.exists():
            try:
                for folder, _, _ in os.walk(top, topdown=False):
                    with suppress(FileNotFoundError):
                        os.rmdir(folder)
            except OSError as problem:
                if problem.errno != errno.EBUSY or time.monotonic() > until:
                    raise
                time.sleep(0.005)

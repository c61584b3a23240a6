"""Control groups for one sandbox: limits before it starts, usage and out-of-memory counts after, and a way to kill it.

One class for both versions: each controller is written where it is. Groups are called `pybuild-<random>`; the process
that made them holds a lock (flock(2)) on each directory for as long as it lives, so `sweep` can tell the groups
of the dead from those of the living, across processes and PID namespaces. A limit that cannot be set raises
LimitUnavailable before anything runs; groups that only measure are made where possible and are not missed elsewhere.
Files: Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst of the kernel.
"""

import errno
import fcntl
import os
import re
import secrets
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from runner import ceilings, ulimits
from runner.errors import LimitUnavailable
from runner.hierarchy import Hierarchy, discover, read
from runner.limits import Limits, Usage
from runner.rootless import owner

PREFIX = "pybuild-"
NAME = re.compile(re.escape(PREFIX) + "[0-9a-f]{16}")
"""What groups of ours are called, and nobody else's."""
ASIDE = f"{PREFIX}self"
"""The leaf that we step aside into, where version 2 wants a group without processes of its own."""
SWEEP_PATIENCE = 0.5
"""Seconds that a sweep waits for a dead group's processes to go."""
MEASURED = ("memory", "cpuacct", "pids", "freezer")  # version-1 groups made for every sandbox
UNIFIED_MEASURED = ("memory", "pids", "cpu")
UNIFIED_NAMES = {"blkio": "io"}
"""What version 2 calls some controllers."""


@dataclass(slots=True)
class Cgroup:
    """The groups of one sandbox: version-1 directories by controller, and one of version 2.

    Made by `create`, which holds their locks until `remove`; or found again with `Cgroup(legacy, unified)` from kept
    paths, to look, pause or kill.
    """

    legacy: Mapping[str, Path]
    unified: Path | None
    _locks: list[int] = field(default_factory=list)

    @classmethod
    def create(cls, limits: Limits, hierarchy: Hierarchy | None = None) -> "Cgroup":
        """Make the groups and set the limits. Raises LimitUnavailable, leaving nothing behind."""
        there = discover() if hierarchy is None else hierarchy
        name = PREFIX + secrets.token_hex(8)
        group = cls({}, None)
        legacy: dict[str, Path] = {}
        group.legacy = legacy
        asked = {setting.controller for setting in ceilings.legacy(limits) if setting.asked}
        try:
            also = MEASURED if there.unified is not None else (*MEASURED, "devices")
            for controller in dict.fromkeys((*also, *sorted(asked))):
                if controller in there.legacy:
                    path = there.legacy[controller] / name
                    try:
                        if path not in legacy.values():  # controllers may be mounted together
                            _make(path, group._locks)
                        legacy[controller] = path
                    except OSError as problem:
                        if controller in asked:
                            raise _unavailable(limits, controller, problem) from problem
            if there.unified is not None:
                inner = {UNIFIED_NAMES.get(name, name) for name in asked - legacy.keys()}
                wanted = inner | {name for name in UNIFIED_MEASURED if name not in there.legacy}
                with suppress(OSError):
                    parent = _room(there, wanted, inner)
                    _make(parent / name, group._locks)
                    group.unified = parent / name
            group._set(limits)
        except BaseException:
            group.remove()
            raise
        return group

    def _set(self, limits: Limits) -> None:
        if "cpuset" in self.legacy:  # an empty set admits nobody, so begin with all that the parent has
            for name in ("cpuset.cpus", "cpuset.mems"):
                write(self.legacy["cpuset"] / name, (self.legacy["cpuset"].parent / name).read_text().strip())
        for setting in ceilings.legacy(limits):
            if setting.controller in self.legacy:
                put(self.legacy[setting.controller], setting)
        instead = {UNIFIED_NAMES.get(name, name) for name in self.legacy}
        for setting in ceilings.unified(limits):
            if setting.controller not in instead:
                if self.unified is not None:
                    put(self.unified, setting)
                elif setting.asked:
                    raise LimitUnavailable(
                        setting.limit, setting.controller, "is not there for this process", _delegate()
                    )

    def put(self, setting: ceilings.Setting) -> None:
        """Write one limit where its controller is. Raises LimitUnavailable."""
        place = self.legacy.get(setting.controller, self.unified)
        if place is None:
            raise LimitUnavailable(setting.limit, setting.controller, "is not there for this process", _delegate())
        put(place, setting)

    def extend(self, controller: str) -> None:
        """Have a version-1 controller too, if this host has it: a group of this name there, with everyone inside."""
        there = discover()
        if controller not in there.legacy or not self.paths:
            return
        path = there.legacy[controller] / self.paths[0].name
        legacy = dict(self.legacy)
        if path not in legacy.values():
            _make(path, self._locks)
            if controller == "cpuset":
                for name in ("cpuset.cpus", "cpuset.mems"):
                    write(path / name, (path.parent / name).read_text().strip())
            while strangers := self.processes() - set(map(int, (path / "cgroup.procs").read_text().split())):
                for pid in strangers:
                    with suppress(ProcessLookupError):
                        write(path / "cgroup.procs", str(pid))
        self.legacy = {**legacy, controller: path}

    @property
    def paths(self) -> list[Path]:
        """Every directory once."""
        return list(dict.fromkeys([*self.legacy.values(), *([self.unified] if self.unified else [])]))

    def joins(self) -> list[int]:
        """New descriptors of the version-1 membership files; a process that writes "0" to each is inside."""
        return [
            os.open(path / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC) for path in dict.fromkeys(self.legacy.values())
        ]

    def usage(self) -> Usage:
        """What has been counted so far; wall time is not known here."""
        read = self._number
        two = self.unified
        cpu = table(two / "cpu.stat") if two is not None else {}
        events = table(two / "memory.events") if two is not None else {}
        user, system = read("cpuacct", "cpuacct.usage_user"), read("cpuacct", "cpuacct.usage_sys")
        oom = table(self.legacy["memory"] / "memory.oom_control") if "memory" in self.legacy else events
        return Usage(
            user_seconds=user / 1e9 if user is not None else cpu.get("user_usec", 0) / 1e6,
            system_seconds=system / 1e9 if system is not None else cpu.get("system_usec", 0) / 1e6,
            memory_peak=read("memory", "memory.max_usage_in_bytes", "memory.peak"),
            pids_peak=read("pids", "pids.peak", "pids.peak"),
            oom_kills=oom.get("oom_kill", 0),
        )

    def _number(self, controller: str, legacy_file: str, unified_file: str = "") -> int | None:
        path = ""
        if controller in self.legacy:
            path = f"{self.legacy[controller]}/{legacy_file}"
        elif self.unified is not None and unified_file:
            path = f"{self.unified}/{unified_file}"
        try:
            return int(text(path)) if path else None
        except (OSError, ValueError):
            return None

    def processes(self) -> set[int]:
        """The processes inside, by their numbers here."""
        found: set[int] = set()
        for path in self.paths:
            with suppress(FileNotFoundError):
                found.update(map(int, (path / "cgroup.procs").read_text().split()))
        return found

    def freeze(self, *, frozen: bool = True) -> None:
        """Pause (or with frozen=False resume) every process inside. Raises LimitUnavailable without a freezer."""
        if "freezer" in self.legacy:
            write(self.legacy["freezer"] / "freezer.state", "FROZEN" if frozen else "THAWED")
        elif self.unified is not None and (self.unified / "cgroup.freeze").exists():
            write(self.unified / "cgroup.freeze", "1" if frozen else "0")
        else:
            raise LimitUnavailable("pausing", "freezer", "is not there for this process")

    @property
    def frozen(self) -> bool:
        """Whether it is paused, or about to be."""
        with suppress(OSError):
            if "freezer" in self.legacy:
                return (self.legacy["freezer"] / "freezer.state").read_text().strip() != "THAWED"
            if self.unified is not None:
                return (self.unified / "cgroup.freeze").read_text().strip() == "1"
        return False

    def kill(self) -> None:
        """SIGKILL for everyone inside, frozen ones included. They are gone a little later."""
        killed = False
        if self.unified is not None:
            with suppress(OSError):  # cgroup.kill came with Linux 5.14
                write(self.unified / "cgroup.kill", "1")
                killed = True
        if not killed or self.legacy:
            for pid in self.processes():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if self.frozen:
            self.freeze(frozen=False)

    def remove(self, *, patience: float = 5.0) -> None:
        """Kill what is left, take the directories away and let go of the locks. Raises OSError if they stay busy."""
        until = time.monotonic() + patience
        try:
            for path in self.paths:
                _remove(path, self.kill, until)
        finally:
            while self._locks:
                os.close(self._locks.pop())


def _delegate() -> str:
    user = " --user" if owner() is not None else ""
    return f"try `systemd-run{user} --scope -p Delegate=yes pybuild …`, run as root, or remove the limit"


def _unavailable(limits: Limits, controller: str, problem: OSError) -> LimitUnavailable:
    limit = next(setting.limit for setting in ceilings.legacy(limits) if setting.controller == controller)
    return LimitUnavailable(limit, controller, f"lets this process make no group ({problem.strerror})", _delegate())


def put(group: Path, setting: ceilings.Setting) -> None:
    """Set one limit. Raises LimitUnavailable, unless it was nobody's wish."""
    if setting.never:
        raise LimitUnavailable(setting.limit, setting.controller, setting.never, "remove the limit")
    file, value = setting.file, setting.value
    if setting.instead is not None and not (group / file).exists():
        file, value = setting.instead
    try:
        write(group / file, value)
    except OSError as problem:
        if not setting.asked:
            return  # docker's default for swap, on a kernel that does not count swap
        reason, fix = f"has no {file} in {group}", _delegate()
        if problem.errno != errno.ENOENT:
            reason = f"refused {value!r} for {file} ({problem.strerror})"
            fix = "choose a value that this machine can give"
        raise LimitUnavailable(setting.limit, setting.controller, reason, fix) from problem


def write(path: Path, value: str) -> None:
    """Write a file of the kernel's. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)  # never create: a missing file is a missing feature
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)


def text(path: Path | str) -> str:
    """A small file of the kernel's, by as few calls as can be: this is read for every step."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 1 << 16).decode()
    finally:
        os.close(descriptor)


def table(path: Path) -> dict[str, int]:
    """A file of names and numbers; empty if it is not there."""
    with suppress(OSError):
        pairs = (line.split() for line in text(path).splitlines())
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
    return {}


def _make(path: Path, locks: list[int]) -> None:
    """Make a group and lock it."""
    while True:
        with suppress(FileExistsError):
            path.mkdir()
        try:
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # a sweep was quicker than our lock; once more
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            locks.append(lock)
            return
        os.close(lock)


def _room(there: Hierarchy, wanted: set[str], needed: set[str]) -> Path:
    """The version-2 group, our own or its parent, whose children may have the `needed` controllers.

    A group with processes in it cannot hand controllers on: memory is refused ("no internal processes"), and cpu or
    pids would be worse, since its children then admit nobody ("domain threaded"). So if we are alone in ours we step
    aside into a leaf of it; else a sibling of our group is what can be had. Without either, groups only hold together.
    """
    own = there.unified
    assert own is not None
    if own.name == ASIDE:
        own = own.parent
    if not _inhabited(own) or _step_aside(own):
        _hand_on(own, wanted)
    elif needed and own != there.unified_top and not _inhabited(own.parent) and _hand_on(own.parent, wanted) >= needed:
        return own.parent
    return own


def _inhabited(place: Path) -> bool:
    """Whether processes are in it itself. The root of the whole tree may have them and hand on nevertheless."""
    return (place / "cgroup.type").exists() and bool((place / "cgroup.procs").read_text())


def _hand_on(place: Path, wanted: set[str]) -> set[str]:
    """Enable what is possible of `wanted` for the children of `place`; what they then have."""
    for controller in sorted(wanted):
        with suppress(OSError):
            write(place / "cgroup.subtree_control", f"+{controller}")
    return set((place / "cgroup.subtree_control").read_text().split())


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


def _remove(path: Path, kill: Callable[[], None], until: float) -> None:
    while True:
        try:
            path.rmdir()
        except FileNotFoundError:
            return
        except OSError as problem:
            if problem.errno != errno.EBUSY or time.monotonic() > until:
                raise
            kill()
            time.sleep(0.002)
        else:
            return


def group_of(pid: int) -> Cgroup | None:
    """The groups that a process of ours is in; None if it has ended or is in none of ours."""
    try:
        place = read(Path(f"/proc/{pid}/cgroup").read_text(), Path("/proc/self/mountinfo").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return None
    legacy = {name: path for name, path in place.legacy.items() if NAME.fullmatch(path.name)}
    unified = place.unified if place.unified is not None and NAME.fullmatch(place.unified.name) else None
    return Cgroup(legacy, unified) if legacy or unified else None


def sweep(hierarchy: Hierarchy | None = None) -> list[Path]:
    """Kill and remove the groups whose owner is dead, in our own groups and beside them; what was removed."""
    there = discover() if hierarchy is None else hierarchy
    own = [*there.legacy.values(), *([there.unified] if there.unified else [])]
    swept: list[Path] = []
    for parent in dict.fromkeys(place for path in own for place in (path, path.parent)):
        with suppress(OSError):
            for path in parent.glob(PREFIX + "*"):
                if NAME.fullmatch(path.name) and _sweep_one(path, path in (there.unified, *there.legacy.values())):
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
            Cgroup({} if is_unified else {name: path}, path if is_unified else None).remove(patience=SWEEP_PATIENCE)
            return True
    except OSError:
        return False  # alive, or too busy for now: the next sweep comes by
    finally:
        os.close(lock)
    return False


def check(limits: Limits) -> None:
    """Whether limits can be set here: they are, on nobody. Raises LimitUnavailable."""
    ulimits.orders(limits.ulimits)
    ulimits.check_score(limits.oom_score_adj)
    Cgroup.create(limits).remove()

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
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from layers.quick import dataclass, field
from runner import ceilings, delegation, ulimits
from runner.errors import LimitUnavailable, PauseUnavailable
from runner.files import table, text, write
from runner.hierarchy import Hierarchy, discover, read
from runner.limits import Limits, Usage

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal  # the same without enumerations

PREFIX = "pybuild-"
DIGITS = frozenset("0123456789abcdef")
MOST_DIGITS = 16
MEASURED = ("memory", "cpuacct", "pids", "freezer")  # version-1 groups made for every sandbox
UNIFIED_MEASURED = ("memory", "pids", "cpu")
UNIFIED_NAMES = {"blkio": "io"}
"""What version 2 calls some controllers."""


@dataclass
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
        name = PREFIX + os.urandom(MOST_DIGITS // 2).hex()
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
                    parent = delegation.room(there, wanted, inner)
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
                    advice = delegation.advice(unified=not self.legacy)
                    raise LimitUnavailable(setting.limit, setting.controller, "is not there for this process", advice)

    def put(self, setting: ceilings.Setting) -> None:
        """Write one limit where its controller is. Raises LimitUnavailable."""
        place = self.legacy.get(setting.controller, self.unified)
        if place is None:
            advice = delegation.advice(unified=discover().is_unified)
            raise LimitUnavailable(setting.limit, setting.controller, "is not there for this process", advice)
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
        """New descriptors of the version-1 membership files; a process of one thread that writes "0" to each is inside.

        Those of threads: with cgroup.procs the kernel holds up whoever is born or ends on the whole machine, and waits
        for all processors before it does; a thread that moves itself is in nobody's way (since Linux 5.17).
        """
        return [os.open(path / "tasks", os.O_WRONLY | os.O_CLOEXEC) for path in dict.fromkeys(self.legacy.values())]

    def usage(self) -> Usage:
        """What has been counted so far; wall time is not known here."""
        read = self.number
        user, system = read("cpuacct", "cpuacct.usage_user"), read("cpuacct", "cpuacct.usage_sys")
        known = user is not None and system is not None
        cpu = table(self.unified / "cpu.stat") if self.unified is not None and not known else {}
        return Usage(
            user_seconds=user / 1e9 if user is not None else cpu.get("user_usec", 0) / 1e6,
            system_seconds=system / 1e9 if system is not None else cpu.get("system_usec", 0) / 1e6,
            memory_peak=read("memory", "memory.max_usage_in_bytes", "memory.peak"),
            pids_peak=read("pids", "pids.peak", "pids.peak"),
            oom_kills=self.oom_kills,
        )

    @property
    def oom_kills(self) -> int:
        """How often somebody inside was killed for want of memory."""
        return self.table("memory", "memory.oom_control", "memory.events").get("oom_kill", 0)

    def text(self, controller: str, legacy_file: str, unified_file: str = "") -> str:
        """What a file of a controller says, by its name in either version; nothing where it is not there."""
        path = self._file(controller, legacy_file, unified_file)
        with suppress(OSError):
            return text(path) if path else ""
        return ""

    def number(self, controller: str, legacy_file: str, unified_file: str = "") -> int | None:
        """The number in such a file, if there is one."""
        try:
            return int(self.text(controller, legacy_file, unified_file))
        except ValueError:
            return None

    def table(self, controller: str, legacy_file: str, unified_file: str = "") -> dict[str, int]:
        """The names and numbers of such a file; empty where it is not there."""
        path = self._file(controller, legacy_file, unified_file)
        return table(path) if path else {}

    def _file(self, controller: str, legacy_file: str, unified_file: str) -> str:
        if controller in self.legacy:
            return f"{self.legacy[controller]}/{legacy_file}"
        return f"{self.unified}/{unified_file}" if self.unified is not None and unified_file else ""

    def processes(self) -> set[int]:
        """The processes inside, by their numbers here."""
        found: set[int] = set()
        for path in self.paths:
            with suppress(FileNotFoundError):
                found.update(map(int, (path / "cgroup.procs").read_text().split()))
        return found

    def freeze(self, *, frozen: bool = True) -> None:
        """Pause (or with frozen=False resume) every process inside. Raises PauseUnavailable without a freezer."""
        if "freezer" in self.legacy:
            write(self.legacy["freezer"] / "freezer.state", "FROZEN" if frozen else "THAWED")
        elif self.unified is not None and (self.unified / "cgroup.freeze").exists():
            write(self.unified / "cgroup.freeze", "1" if frozen else "0")
        else:
            raise PauseUnavailable(delegation.hint(unified=discover().is_unified))

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

    def leave(self, clear: Callable[[Sequence[Path], Sequence[int]], bool]) -> None:
        """Let somebody else remove it, in whom nobody is any more, or do it where nobody would: `clear` says which."""
        if self.paths and not clear(self.paths, self._locks):
            self.remove()
        while self._locks:
            os.close(self._locks.pop())

    def remove(self, *, patience: float = 5.0) -> None:
        """Kill what is left, take the directories away and let go of the locks. Raises OSError if they stay busy."""
        until = time.monotonic() + patience
        try:
            for path in self.paths:
                _remove(path, self.kill, until)
        finally:
            while self._locks:
                os.close(self._locks.pop())


def _unavailable(limits: Limits, controller: str, problem: OSError) -> LimitUnavailable:
    limit = next(setting.limit for setting in ceilings.legacy(limits) if setting.controller == controller)
    reason = f"lets this process make no group ({problem.strerror})"
    return LimitUnavailable(limit, controller, reason, delegation.advice(unified=False))


def is_ours(name: str) -> bool:
    """Whether a group may be one of ours, by its name: nobody else's is called so."""
    digits = name.removeprefix(PREFIX)
    return len(name) - len(digits) == len(PREFIX) and len(digits) == MOST_DIGITS and DIGITS.issuperset(digits)


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
        reason, fix = f"has no {file} in {group}", delegation.advice(unified=_is_unified(group), given=True)
        if problem.errno != errno.ENOENT:
            reason = f"refused {value!r} for {file} ({problem.strerror})"
            fix = "choose a value that this machine can give"
        raise LimitUnavailable(setting.limit, setting.controller, reason, fix) from problem


def _is_unified(group: Path) -> bool:
    return (group / "cgroup.controllers").exists()


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
    legacy = {name: path for name, path in place.legacy.items() if is_ours(path.name)}
    unified = place.unified if place.unified is not None and is_ours(place.unified.name) else None
    return Cgroup(legacy, unified) if legacy or unified else None


def check(limits: Limits) -> None:
    """Whether limits can be set here: they are, on nobody. Raises LimitUnavailable."""
    if not limits.are_set:
        return
    ulimits.orders(limits.ulimits)
    ulimits.check_score(limits.oom_score_adj)
    Cgroup.create(limits).remove()

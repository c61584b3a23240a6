"""What a crashed or careless builder leaves on a host: mounts, cgroups, processes. Tests compare before and after."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from layers.disk.locks import is_locked


@dataclass(frozen=True, slots=True)
class Residue:
    """Traces of one store on this host."""

    mounts: frozenset[str]
    cgroups: frozenset[str]
    processes: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.mounts or self.cgroups or self.processes)


def residue(root: Path) -> Residue:
    """Mounts under `root` in our namespace, cgroups made for pybuild, processes that name or use `root`."""
    return Residue(frozenset(_mounts(root)), frozenset(_cgroups()), frozenset(_processes(root)))


def _mounts(root: Path) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    return [line.split()[4] for line in lines if line.split()[4].startswith(str(root))]


def _cgroups() -> list[str]:
    found: list[str] = []
    for top, folders, _ in os.walk("/sys/fs/cgroup"):
        found += [str(Path(top, name)) for name in folders if name.startswith("pybuild") and "peer" not in name]
    return found


def _processes(root: Path) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
                places = [command, os.readlink(entry / "cwd"), os.readlink(entry / "root")]
                places.append((entry / "environ").read_bytes().decode("utf-8", "replace"))
                if any(str(root) in place for place in places):
                    found.append(f"{entry.name} {command}")
    return found


@contextmanager
def leaked(root: Path, *, patience: float = 60.0) -> Iterator[list[str]]:
    """Filled on leaving: what is there that was not there on entering, and does not go away by itself.

    Other tests make and remove cgroups at the same time, so whatever is new gets `patience` seconds to vanish; a cgroup
    that is locked is somebody's who lives (one of ours who lives is found among the processes).
    """
    before = residue(root)
    left: list[str] = []
    yield left
    deadline = time.monotonic() + patience
    suspects = _new(before, residue(root))
    while suspects and time.monotonic() < deadline:
        time.sleep(0.2)
        suspects &= _new(before, residue(root))
    left.extend(sorted(suspects))


def _new(before: Residue, after: Residue) -> set[str]:
    cgroups = {path for path in after.cgroups - before.cgroups if not is_locked(Path(path))}
    return {*after.mounts - before.mounts, *cgroups, *after.processes - before.processes}

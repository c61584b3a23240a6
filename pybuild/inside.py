"""Running containers and their namespaces, seen from the host: those of the store, and those of `pybuild oci`."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from layers.quick import dataclass

if TYPE_CHECKING:
    from pybuild.wiring import Context

KINDS = ("mnt", "uts", "ipc", "user", "pid", "net", "cgroup", "time")
"""As /proc/PID/ns calls them."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """One namespace: its inode, and who is in it. `pid` is the lowest number."""

    inode: int
    kind: str
    pids: tuple[int, ...]
    containers: tuple[str, ...]

    @property
    def pid(self) -> int:
        """The process that stands for it."""
        return self.pids[0]


def running(context: Context) -> dict[str, int]:
    """The first process of every running container, by name."""
    from builder.containers import Containers, Status
    from runner.oci.home import Home
    from runner.oci.home import Status as Life

    found: dict[str, int] = {}
    for container in Containers(context.store).list():
        state = container.state()
        if state.status in (Status.RUNNING, Status.PAUSED):
            found[container.name] = state.pid
    for bundle, record in Home().list():
        if bundle.status(record) not in (Life.STOPPED, Life.CREATING):
            found.setdefault(bundle.id, record.pid)
    return found


def process_of(context: Context, text: str) -> int:
    """The first process of a running container, named by name or id. Raises ContainerError."""
    from builder.containers import ContainerMissing, Containers, ContainerState, Status
    from runner.oci.home import Home
    from runner.oci.home import Status as Life

    for bundle, record in Home().list():
        if bundle.id == text and bundle.status(record) not in (Life.STOPPED, Life.CREATING):
            return record.pid
    with suppress(ContainerMissing):
        container = Containers(context.store).get(text)
        state = container.state()
        if state.status not in (Status.RUNNING, Status.PAUSED):
            raise ContainerState(container.name, "is not running")
        return state.pid
    raise ContainerMissing(text, tuple(running(context)))


def inode(pid: int | str, kind: str) -> int:
    """Which namespace a process is in; 0 if it cannot be seen."""
    with suppress(OSError):
        return os.stat(f"/proc/{pid}/ns/{kind}").st_ino
    return 0


def namespaces(first: dict[str, int]) -> list[Namespace]:
    """The namespaces of containers, each once, with all processes of this host that are in it."""
    owners: dict[tuple[str, int], list[str]] = {}
    for name, pid in first.items():
        for kind in KINDS:
            if number := inode(pid, kind):
                owners.setdefault((kind, number), []).append(name)
    members: dict[tuple[str, int], list[int]] = {key: [] for key in owners}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            for kind in KINDS:
                if (key := (kind, inode(entry.name, kind))) in members:
                    members[key].append(int(entry.name))
    found = [
        Namespace(number, kind, tuple(sorted(pids)), tuple(owners[kind, number]))
        for (kind, number), pids in members.items()
        if pids
    ]
    return sorted(found, key=lambda one: one.inode)

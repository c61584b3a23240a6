"""What is known of containers between two commands: a directory each below the root of states (`--root`).

`state.json` is replaced whole; `start` is the fifo in which a created container waits, and is gone once it was started.
Whether its process lives is asked of the kernel: a number together with the time that the process began names it.
"""

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from layers.quick import asdict, dataclass, field
from runner import inside
from runner.cgroups import Cgroup
from runner.oci.document import Node
from runner.oci.errors import MISSING, ContainerError
from runner.oci.groups import processes as everybody
from runner.owners import nested
from runner.rootless import folder as runtime_folder
from runner.rootless import owner

NAME = re.compile(r"[\w+\-.]+", re.ASCII)
LONGEST = 1024
DEFAULT = Path("/run/pybuild/oci")
"""Of root; see `usual`."""


class Status(StrEnum):
    """Where a container is in its life, in the words of the specification, and paused."""

    CREATING = "creating"
    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"


@dataclass(slots=True)
class Record:
    """What state.json says. `began` is field 22 of /proc/PID/stat, `groups` the cgroup directories by controller."""

    id: str
    bundle: str
    rootfs: str
    created: str
    config: dict[str, Any]
    pid: int = 0
    began: int = 0
    groups: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Container:
    """One container's directory."""

    folder: Path

    @property
    def id(self) -> str:
        """Its name."""
        return self.folder.name

    @property
    def fifo(self) -> Path:
        """What it waits in until it is started."""
        return self.folder / "start"

    def read(self) -> Record:
        """The record. Raises ContainerError."""
        try:
            return Record(**json.loads((self.folder / "state.json").read_bytes()))
        except (OSError, ValueError, TypeError) as error:
            raise ContainerError(MISSING) from error

    def write(self, record: Record) -> None:
        """Replace the record."""
        draft = self.folder / "state.json.new"
        draft.write_text(json.dumps(asdict(record)))
        draft.replace(self.folder / "state.json")

    def status(self, record: Record) -> Status:
        """As it really is."""
        if not record.pid:
            return Status.CREATING
        if not lives(record):
            return Status.STOPPED
        if groups(record).frozen:
            return Status.PAUSED
        return Status.CREATED if self.fifo.exists() else Status.RUNNING

    def state(self, record: Record) -> dict[str, Any]:
        """The state as hooks and `state` get it."""
        status = self.status(record)
        annotations = Node(record.config).pairs("annotations")
        return {
            "ociVersion": record.config["ociVersion"],
            "id": self.id,
            "pid": 0 if status is Status.STOPPED else record.pid,
            "status": str(status),
            "bundle": record.bundle,
            "rootfs": record.rootfs,
            "created": record.created,
            **({"annotations": annotations} if annotations else {}),
            "owner": "",
        }

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else starts or deletes it meanwhile. Raises ContainerError if it is gone."""
        try:
            lock = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise ContainerError(MISSING) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            there = False
            with suppress(FileNotFoundError):
                there = os.path.samestat(os.fstat(lock), os.stat(self.folder))
            if not there:  # gone meanwhile, and another may have its name
                raise ContainerError(MISSING)
            yield
        finally:
            os.close(lock)

    def forget(self) -> None:
        """Remove the directory."""
        shutil.rmtree(self.folder, ignore_errors=True)


def usual() -> Path:
    """The root of states unless another is named: who is root in a user namespace only has it with the user."""
    if owner() is None and not (nested() and os.environ.get("XDG_RUNTIME_DIR")):
        return DEFAULT
    return runtime_folder() / "oci"


@dataclass(frozen=True, slots=True)
class Home:
    """The root of states."""

    root: Path = field(default_factory=usual)

    def get(self, name: str) -> Container:
        """A container by its id. Raises ContainerError."""
        container = Container(self.root / checked(name))
        if not container.folder.is_dir():
            raise ContainerError(MISSING)
        return container

    def make(self, name: str) -> Container:
        """The directory of a new one. Raises ContainerError."""
        container = Container(self.root / checked(name))
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            container.folder.mkdir(mode=0o711)
        except FileExistsError as error:
            raise ContainerError("container with given ID already exists") from error
        return container

    def list(self) -> list[tuple[Container, Record]]:
        """All of them, by id."""
        found = []
        with suppress(FileNotFoundError):
            for folder in sorted(self.root.iterdir()):
                with suppress(ContainerError):
                    found.append((Container(folder), Container(folder).read()))
        return found


def checked(name: str) -> str:
    """An id that names one directory. Raises ContainerError."""
    if not NAME.fullmatch(name) or name in (".", "..") or len(name) > LONGEST:
        raise ContainerError("invalid container ID format")
    return name


def processes(record: Record) -> list[int]:
    """Everybody in a container that lives, but for those who have left its namespaces."""
    cgroup = groups(record)
    if cgroup.paths:
        return everybody(cgroup)
    return sorted(inside.processes(record.pid)) if lives(record) else []


def groups(record: Record) -> Cgroup:
    """The control groups of a container."""
    legacy = {name: Path(path) for name, path in record.groups.items() if name}
    return Cgroup(legacy, Path(record.groups[""]) if "" in record.groups else None)


def lives(record: Record) -> bool:
    """Whether the container's first process is there, and still that one."""
    return record.pid > 0 and inside.began(record.pid) == record.began


def now() -> str:
    """The time as states write it."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")

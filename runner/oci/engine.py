"""The life of a container, one command at a time: nothing of ours lives on between two of them.

`create` leaves a process that waits in a fifo, `start` lets it go. A process that was born belongs to whoever adopts
orphans (a shim, conmon, or init), so the one that bore it, the spawner, is gone before a command returns.
Reference: the OCI runtime-spec, runtime.md.
"""

import errno
import fcntl
import json
import os
import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from layers.quick import dataclass, field
from runner import inside, rootless
from runner.entering import shared_not
from runner.job import ENTER, START
from runner.linux import CLONE_NEWUSER
from runner.oci import groups, home, hooks, seccomp
from runner.oci.birth import MODULE, Growing, sow
from runner.oci.bundle import Bundle, hooks_of
from runner.oci.document import Node
from runner.oci.errors import NOT_RUNNING, BundleInvalid, ContainerError, StartFailed
from runner.oci.home import Container, Home, Record, Status, lives
from runner.oci.namespaces import open_namespaces
from runner.oci.order import BundleSeed, Order
from runner.oci.process import Process
from runner.owners import nested
from runner.running import Running
from runner.spawner import Spawner

PATIENCE = 10.0
"""Seconds that a killed container gets to be gone."""
BROKEN = "the container is gone: its process ended before it was started"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What flags say beside the bundle. `streams` become 0, 1 and 2, `inherited` 3 and what follows."""

    pid_file: Path | None = None
    pivot: bool = True
    keyring: bool = True
    systemd: bool = False
    detached: bool = True
    streams: Sequence[int] = (0, 1, 2)
    inherited: Sequence[int] = ()
    environment: dict[bytes, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class Engine:
    """The commands, on the containers of one root of states."""

    home: Home
    spawner: Spawner = field(default_factory=lambda: Spawner(MODULE))

    def close(self) -> None:
        """Let the spawner go; what it bore is somebody else's child from now on."""
        self.spawner.close()

    def create(self, name: str, bundle: Bundle, wishes: Wishes) -> Running:
        """Make a container that waits to be started. Raises RunnerError; nothing is left then."""
        with ExitStack() as undo, ExitStack() as sent:
            limits = bundle.linux.table("resources")
            where = groups.paths(bundle.linux.text("cgroupsPath"), name, limits, systemd=wishes.systemd)
            container = self.home.make(name)
            undo.callback(container.forget)
            sent.enter_context(container.alone())
            record = Record(name, str(bundle.folder), str(bundle.root), home.now(), bundle.config.value)
            namespaces = open_namespaces(bundle.joined, sent)
            groups.vacant(where)
            record.groups = groups.names(groups.group(where))
            container.write(record)  # so that `delete` knows the groups, should we be killed now
            cgroup = groups.create(where, limits)
            undo.callback(groups.remove, cgroup)
            record.groups = groups.names(cgroup)
            os.mkfifo(container.fifo, 0o600)
            waiting = os.open(container.fifo, os.O_RDWR | os.O_CLOEXEC)
            sent.callback(os.close, waiting)
            growing = sow(self.spawner, BundleSeed(kind=START, **bundle.seed()), namespaces, undo)
            undo.callback(_kill, growing.pidfd)
            groups.enter(cgroup, growing.pid)
            self._score(growing, bundle.process)
            shown = [(",".join(names), path) for names, path in groups.shown(where).items()]
            words, mounts = bundle.order(shown, sent)
            record.pid, record.began = growing.pid, inside.began(growing.pid)
            before = [*bundle.hooks("prestart"), *bundle.hooks("createRuntime")]
            creating = {**container.state(record), "status": str(Status.CREATING)}
            order = Order(
                **words,
                keyring=wishes.keyring,
                pivot=wishes.pivot,
                preserved=len(wishes.inherited),
                waits=True,
                console=bundle.process.terminal,
                hooked=bool(before),
                inside_hooks=bundle.hooks("createContainer"),
                start_hooks=bundle.hooks("startContainer"),
                state=_json(creating),
            )
            order.env.update(wishes.environment)
            birth = growing.grow(
                order,
                [*wishes.streams, *wishes.inherited, waiting, *mounts],
                hooks=lambda: _run(before, creating),
                leave=self.close if wishes.detached else _stay,
                rlimits=bundle.process.rlimits,
            )
            record.began = inside.began(record.pid)
            container.write(record)
            if rootless.owner() is not None:
                rootless.vouch(record.pid, record.began)
            if wishes.pid_file is not None:
                _say(wishes.pid_file, record.pid)
            undo.pop_all()
            return Running(birth)

    def start(self, name: str) -> list[str]:
        """Let a created container go; warnings of hooks that failed after that. Raises RunnerError."""
        container = self.home.get(name)
        with container.alone():
            record = container.read()
            status = container.status(record)
            if status is Status.STOPPED:
                raise ContainerError("cannot start a container that has stopped")
            if status is not Status.CREATED:
                raise ContainerError("cannot start an already running container")
            fifo = os.open(container.fifo, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                os.unlink(container.fifo)
                os.write(fifo, b"go")
                fcntl.flock(fifo, fcntl.LOCK_EX)  # until it has become its command, or ended
                with suppress(BlockingIOError):
                    answer = os.read(fifo, 4096)
                    self._destroy(container, record)
                    raise StartFailed(BROKEN if answer == b"go" else answer.decode("utf-8", "replace"))
            finally:
                os.close(fifo)
            return _try(hooks_of(Node(record.config), "poststart"), container.state(record))

    def kill(self, name: str, number: int, *, everybody: bool = False) -> None:
        """Send a signal to its first process, or to everybody in its control groups. Raises ContainerError."""
        container = self.home.get(name)
        record = container.read()
        status, cgroup = container.status(record), home.groups(record)
        if everybody:
            for pid in home.processes(record):
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
        elif status in (Status.STOPPED, Status.CREATING):
            raise ContainerError(NOT_RUNNING)
        else:
            with suppress(ProcessLookupError):
                pidfd = os.pidfd_open(record.pid)
                try:
                    if lives(record):
                        signal.pidfd_send_signal(pidfd, number)
                finally:
                    os.close(pidfd)
        if number == signal.SIGKILL and cgroup.frozen:
            cgroup.freeze(frozen=False)

    def delete(self, name: str, *, force: bool = False) -> list[str]:
        """Take a container away; warnings of its last hooks. Raises ContainerError, unless `force`, if it runs."""
        with ExitStack() as held:
            try:
                container = self.home.get(name)
                held.enter_context(container.alone())
            except ContainerError:
                if force:
                    home.checked(name)
                    return []
                raise
            try:
                record = container.read()
            except ContainerError:
                container.forget()  # its creation was interrupted
                return []
            status = container.status(record)
            # Whoever creates it has the lock: one that is being created here is nobody's any more.
            if status in (Status.RUNNING, Status.PAUSED) and not force:
                raise ContainerError(f"cannot delete container {name} that is not stopped: {status}")
            return self._destroy(container, record)

    def pause(self, name: str, *, paused: bool = True) -> None:
        """Freeze it, or let it go on. Raises ContainerError."""
        container = self.home.get(name)
        record = container.read()
        status = container.status(record)
        if paused and status not in (Status.RUNNING, Status.CREATED):
            raise ContainerError(f"container not running or created: {status}")
        if not paused and status is not Status.PAUSED:
            raise ContainerError("container not paused")
        home.groups(record).freeze(frozen=paused)

    def update(self, name: str, resources: Node) -> None:
        """Set other limits. Raises LimitUnavailable, ContainerError, BundleInvalid."""
        container = self.home.get(name)
        record = container.read()
        if container.status(record) is Status.STOPPED:
            raise ContainerError(NOT_RUNNING)
        groups.configure(home.groups(record), resources)
        kept = record.config.setdefault("linux", {}).setdefault("resources", {})
        for key, value in resources.value.items():
            kept[key] = {**kept.get(key, {}), **value} if isinstance(value, dict) else value
        container.write(record)

    def enter(self, name: str, process: Process, wishes: Wishes, *, ignore_paused: bool = False) -> Running:
        """Begin a further process in a running container. Raises RunnerError."""
        container = self.home.get(name)
        record = container.read()
        status = container.status(record)
        if status in (Status.STOPPED, Status.CREATING):
            raise ContainerError(f"cannot exec in a {status} container")
        if status is Status.PAUSED and not ignore_paused:
            raise ContainerError("cannot exec in a paused container (use --ignore-paused to override)")
        with ExitStack() as undo, ExitStack() as sent:
            pidfd = os.pidfd_open(record.pid)
            sent.callback(os.close, pidfd)
            kinds = shared_not(record.pid)
            seed = BundleSeed(
                kind=ENTER, namespaces=0, entered=[kinds], offsets=b"", uid_map=b"", gid_map=b"", joins=0, unified=False
            )
            growing = sow(self.spawner, seed, [pidfd], undo)
            undo.callback(_kill, growing.pidfd)
            groups.enter(home.groups(record), growing.pid)
            self._score(growing, process)
            filter = Node(record.config).table("linux")
            order = Order(
                **process.order(),
                filter=seccomp.program(filter.table("seccomp")) if "seccomp" in filter else b"",
                keyring=False,
                in_user=nested() or bool(kinds & CLONE_NEWUSER),
                preserved=len(wishes.inherited),
                waits=False,
                console=False,
                personality=-1,
                start_hooks=[],
                state=b"",
            )
            order.env.update(wishes.environment)
            if wishes.pid_file is not None:
                _say(wishes.pid_file, growing.pid)
            birth = growing.grow(
                order,
                [*wishes.streams, *wishes.inherited],
                hooks=_stay,
                leave=self.close if wishes.detached else _stay,
                rlimits=process.rlimits,
            )
            undo.pop_all()
            return Running(birth)

    def _score(self, growing: Growing, process: Process) -> None:
        if process.oom_score is None:
            return
        path = Path(f"/proc/{growing.pid}/oom_score_adj")
        if int(path.read_text()) != process.oom_score:
            try:
                path.write_text(str(process.oom_score))
            except PermissionError as problem:
                why = f"{process.oom_score} is less than this process may give ({problem.strerror})".lower()
                raise BundleInvalid("process.oomScoreAdj", why) from problem

    def _destroy(self, container: Container, record: Record) -> list[str]:
        """Kill whatever is left of it, forget it, run its last hooks."""
        cgroup = home.groups(record)
        until = time.monotonic() + PATIENCE
        if lives(record):
            with suppress(ProcessLookupError):
                os.kill(record.pid, signal.SIGKILL)
        while inside := home.processes(record):
            for pid in inside:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if cgroup.frozen:
                cgroup.freeze(frozen=False)
            if time.monotonic() > until:
                raise ContainerError(f"processes {inside} of the container do not end")
            time.sleep(0.005)
        while lives(record) and time.monotonic() < until:
            time.sleep(0.005)
        try:
            groups.remove(cgroup)
        except OSError as problem:
            if problem.errno != errno.EBUSY:
                raise
            raise ContainerError(f"control groups of the container stay busy: {problem.filename}") from problem
        if rootless.owner() is not None:
            rootless.unvouch(record.pid, record.began)
        state = {**container.state(record), "pid": 0, "status": str(Status.STOPPED)}
        container.forget()
        return _try(hooks_of(Node(record.config), "poststop"), state)


def _stay() -> None:
    """Nothing to do."""


def _kill(pidfd: int) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)


def _json(state: dict[str, object]) -> bytes:
    return json.dumps(state).encode()


def _run(wanted: list[hooks.Hook], state: dict[str, object]) -> None:
    try:
        hooks.run(wanted, _json(state))
    except hooks.HookFailed as problem:
        raise StartFailed(f"error running {problem}") from problem


def _try(wanted: list[hooks.Hook], state: dict[str, object]) -> list[str]:
    """Run hooks whose failure changes nothing any more; what went wrong."""
    found = []
    for hook in wanted:
        try:
            hooks.run([hook], _json(state))
        except hooks.HookFailed as problem:
            found.append(str(problem))
    return found


def _say(path: Path, pid: int) -> None:
    draft = path.with_name(f".{path.name}")
    draft.write_text(str(pid))
    draft.replace(path)

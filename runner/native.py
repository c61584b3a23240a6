"""Sandboxes on this kernel, without any other program: namespaces, cgroups, seccomp, an overlay as the root.

What needs judgement happens here, in the parent: look-ups, defaults, filters, groups, places to mount on. What must not
happen here, because it would follow paths of the image, happens in the child (`runner.child`, `runner.walls`).
"""

from __future__ import annotations

import os
import select
import selectors
import signal
import stat
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from runner import devices, guard, masks, seccomp, ulimits
from runner.capabilities import bounds, held
from runner.cgroups import Cgroup, group_of
from runner.errors import LimitUnavailable, SandboxBroken, SandboxUnavailable
from runner.hierarchy import Hierarchy, discover
from runner.ids import Ids, here, lines
from runner.job import ENTER, START, Job, Seed
from runner.limits import Limits
from runner.linux import (
    AT_FDCWD,
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWTIME,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    NODEV,
    NOEXEC,
    NOSUID,
    O_PATH,
    RDONLY,
    change_mount,
    copy_mount,
    map_owners,
)
from runner.owners import Footing, Owners, nested
from runner.sandbox import CAPABILITIES, DEFAULT_CAPABILITIES, Exit, Identity, Mount, Sandbox
from runner.spawner import Birth, Sown, Spawner
from runner.targets import Stubs, find

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PIECE = 1 << 16
GLANCE = 0.1
"""Seconds between two looks at the stop event."""
SPARE = 2
"""Processes that wait for commands at most."""
LINGER = 1.0
"""Seconds that output may still come after the last process has gone: long enough to empty full pipes."""
OUR_DEV = ("pts", "shm", "mqueue", "fd", "stdin", "stdout", "stderr", "ptmx", "core", "console", "pipes")
"""Names in /dev that stay as they are."""
OURS = (b"proc", b"sys", b"dev")
"""Directories that every sandbox covers with file systems of its own."""


@dataclass(slots=True)
class Running:
    """A command behind walls that has begun. `wait` must be called once, by one thread; the rest from anywhere.

    `pid` is its number on this host, `master` our end of its terminal (the caller's to close) or None.
    """

    pid: int
    master: int | None
    cgroup: Cgroup | None
    _birth: Birth
    _limits: Limits
    _undo: ExitStack
    _began: float = field(default_factory=time.monotonic)
    timed_out: bool = False
    _over: bool = False

    @property
    def refused(self) -> str:
        """Why its program could not be executed, or nothing; it ends with 126 or 127 then."""
        return self._birth.refused

    def fileno(self) -> int:
        """Readable when it has ended."""
        return self._birth.reply.fileno()

    def signal(self, number: int) -> None:
        """Send a signal to the command; nothing happens if it has gone."""
        if not self._over:  # the descriptor's number may be another's by now
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._birth.pidfd, number)

    def kill(self) -> None:
        """SIGKILL for everything behind these walls."""
        if self.cgroup is not None:
            self.cgroup.kill()
        self.signal(signal.SIGKILL)

    def wait(self) -> Exit:
        """Wait for its end, then take its walls down."""
        try:
            number, signalled, moved = self._birth.ended()
            usage = self.cgroup.usage() if self.cgroup is not None else None
            wall = time.monotonic() - self._began
            code = 128 + number if signalled else number
            found = Exit(code, number if signalled else None, timed_out=self.timed_out)
            if usage is not None:
                read, written = moved or (None, None)
                usage = replace(usage, wall_seconds=wall, read_bytes=read, written_bytes=written)
                found = replace(found, usage=usage, oom_killed=usage.oom_kills > 0)
            return found
        finally:
            self._over = True
            os.close(self._birth.pidfd)
            self._birth.reply.close()
            self._undo.close()


class _Kind(NamedTuple):
    """What a process must know before it is made; `network`: whose network namespace it shares, `ids`: its users."""

    limits: Limits
    namespaces: int
    time_offset: int | None
    network: int | None
    ids: Ids | None
    rules: tuple[devices.Rule, ...]
    writable_sys: bool

    @classmethod
    def of(cls, sandbox: Sandbox) -> _Kind:
        """Of what a command shall become."""
        rules = devices.allowing((*(device.rule for device in sandbox.devices), *sandbox.device_rules))
        return cls(
            sandbox.limits,
            _namespaces(sandbox),
            sandbox.time_offset,
            sandbox.network if isinstance(sandbox.network, int) else None,
            sandbox.userns,
            rules,
            sandbox.writable_sys,
        )


@dataclass(frozen=True, slots=True)
class _Bed:
    """A process with its control groups, made for commands of one kind, that waits for one."""

    kind: _Kind
    cgroup: Cgroup
    guarded: bool
    sown: Sown

    def clear(self) -> None:
        """Take it away unused."""
        self.sown.drop()
        self.cgroup.remove()


@dataclass(slots=True)
class Native:
    """The runtime of this machine; threads may share one. A `runner.Runtime`."""

    spawner: Spawner
    owners: Owners = field(init=False)
    _spare: list[_Bed] = field(default_factory=list)
    _leaving: list[threading.Thread] = field(default_factory=list)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.owners = Owners(self.spawner)

    def start(
        self,
        sandbox: Sandbox,
        streams: Sequence[int],
        *,
        tty: bool = False,
        wire: Callable[[int], None] | None = None,
    ) -> Running:
        """Begin a command with these descriptors as its stdin, stdout and stderr; with `tty` a terminal replaces them.

        The descriptors stay the caller's; `wire` is as in `runner.Runtime`. Raises SandboxUnavailable, SandboxBroken,
        LimitUnavailable.
        """
        with ExitStack() as undo, ExitStack() as sent:
            bed = self._bed(_Kind.of(sandbox))
            undo.callback(self._remove, bed.cgroup)
            unused = undo.enter_context(ExitStack())
            unused.callback(bed.sown.drop)
            capabilities = _held(sandbox)
            if not bed.guarded:
                capabilities -= {"MKNOD"}
            masked, readonly = masks.chosen(sandbox.mask, sandbox.unmask)
            try:
                mapping = self.owners.mapping(sandbox.userns)
                where = _root(sandbox, mapping, undo, sent)
                binds, mounts = _mounts(sandbox, where.root, where.stubs, sent, nodev=not bed.guarded, mapping=mapping)
                _give(streams, sandbox.identity, sandbox.userns or Ids.same())
            except OSError as problem:
                name = problem.filename or b""
                raise SandboxBroken("places to mount on", problem.errno or 0, os.fsdecode(name)) from problem
            job = Job(
                **_program(sandbox.args, sandbox.env, sandbox.cwd, sandbox.identity),
                hostname=sandbox.hostname.encode(),
                mounts=mounts,
                shm_size=sandbox.shm_size,
                nodev=not bed.guarded,
                readonly_root=sandbox.readonly_root,
                devices=[_node(device) for device in sandbox.devices],
                masked=masked,
                readonly=readonly,
                sysctls=[(name.replace(".", "/").encode(), value.encode()) for name, value in sandbox.sysctls],
                ulimits=ulimits.orders(sandbox.limits.ulimits),
                tty=tty,
                init=sandbox.init,
                capabilities=_mask(capabilities),
                filter=_filter(sandbox, capabilities),
                no_new_privileges=sandbox.no_new_privileges,
            )
            unused.pop_all()
            birth = bed.sown.grow(job, [*streams, where.mount, *binds], wire)
            return Running(birth.pid, birth.master, bed.cgroup, birth, sandbox.limits, undo.pop_all())

    def settle(self, ids: Ids | None, place: Path) -> Footing:
        """What can be had of a user namespace for files on the disk of `place`; see `runner.Runtime`."""
        return self.owners.settle(ids, place)

    def rest(self) -> None:
        """Let go of what was made ready for commands that did not come."""
        with self._turn:
            spare, self._spare = self._spare, []
            leaving, self._leaving = self._leaving, []
        for bed in spare:
            bed.clear()
        for one in leaving:
            one.join()

    def _remove(self, cgroup: Cgroup) -> None:
        """Take groups away: beside other work while more is expected, for the kernel makes whoever does it wait."""
        with self._turn:
            thread = threading.Thread(target=cgroup.remove, name="pybuild-cgroup") if self._spare else None
            if thread is not None:
                self._leaving = [*(one for one in self._leaving if one.is_alive()), thread]
                thread.start()
        if thread is None:
            cgroup.remove()

    def _ready(self, kind: _Kind, more: int) -> None:
        """Make ready for commands that will come: entering control groups takes the kernel longer than the rest."""
        with self._turn:
            missing = min(more, SPARE) - sum(bed.kind == kind for bed in self._spare)
        for _ in range(missing):
            bed = self._make(kind)
            with self._turn:
                self._spare.append(bed)

    def _bed(self, kind: _Kind) -> _Bed:
        """One that is ready, or a new one."""
        with self._turn:
            for bed in self._spare:
                if bed.kind == kind:
                    self._spare.remove(bed)
                    return bed
        return self._make(kind)

    def _make(self, kind: _Kind) -> _Bed:
        with ExitStack() as undo, ExitStack() as sent:
            there = discover()
            ulimits.check_score(kind.limits.oom_score_adj)
            cgroup = Cgroup.create(kind.limits, there)
            undo.callback(cgroup.remove)
            guarded = bool(guard.restrict(cgroup.unified, cgroup.legacy.get("devices"), kind.rules))
            if not guarded and kind.rules != devices.DEFAULT:
                raise LimitUnavailable("devices", "devices", "cannot be set by this process", "leave devices out")
            descriptors, words = _membership(cgroup, sent)
            sown = self.spawner.sow(
                Seed(
                    kind=START,
                    namespaces=kind.namespaces,
                    uid_map=lines(kind.ids.uids) if kind.ids is not None else b"",
                    gid_map=lines(kind.ids.gids) if kind.ids is not None else b"",
                    time_offset=kind.time_offset,
                    cgroup_view=_cgroup_view(there, cgroup),
                    shares_network=kind.network is not None,
                    oom_score_adj=kind.limits.oom_score_adj,
                    writable_sys=kind.writable_sys,
                    **words,
                ),
                descriptors if kind.network is None else [*descriptors, kind.network],
            )
            undo.pop_all()
            return _Bed(kind, cgroup, guarded, sown)

    def exec_in(
        self,
        pid: int,
        sandbox: Sandbox,
        streams: Sequence[int],
        *,
        tty: bool = False,
    ) -> Running:
        """Begin a further command behind the walls of the running process `pid` (the sandbox's PID 1).

        Of `sandbox` count args, env, cwd, identity, seccomp, filter, no_new_privileges, the limits of single processes,
        and capabilities (of which it gets no more than the running one may have); root, mounts, other limits and
        namespaces are those of the running one.
        Raises SandboxUnavailable if it is not running, SandboxBroken.
        """
        with ExitStack() as sent, ExitStack() as undo:
            try:
                pidfd = os.pidfd_open(pid)
            except ProcessLookupError as problem:
                raise SandboxUnavailable(f"process {pid} has ended", "start it again first") from problem
            sent.callback(os.close, pidfd)
            group = group_of(pid)
            if group is None and nested() and not _has_ended(pidfd) and not _is_among_us(pid):
                group = Cgroup({}, None)  # who is not root makes none
            if group is None:
                raise SandboxUnavailable(f"process {pid} has ended", "start it again first")
            if group.frozen:  # it would be frozen with them before it is anything
                raise SandboxUnavailable(f"process {pid} is paused", "let it go on first")
            kinds = shared_not(pid)
            capabilities = sandbox.capabilities & bounds(pid)
            descriptors, words = _membership(group, sent)
            score = sandbox.limits.oom_score_adj
            orders = ulimits.orders(sandbox.limits.ulimits)
            sown = self.spawner.sow(
                Seed(kind=ENTER, namespaces=kinds, time_offset=None, oom_score_adj=score, **words),
                [*descriptors, pidfd],
            )
            job = Job(
                **_program(sandbox.args, sandbox.env, sandbox.cwd, sandbox.identity),
                ulimits=orders,
                tty=tty,
                init=False,
                capabilities=_mask(capabilities),
                filter=_filter(sandbox, capabilities),
                no_new_privileges=sandbox.no_new_privileges,
            )
            _give(streams, sandbox.identity, _ids(pid))
            try:
                birth = sown.grow(job, streams)
            except (SandboxBroken, SandboxUnavailable) as problem:
                if _has_ended(pidfd):
                    raise SandboxUnavailable(f"process {pid} has ended", "start it again first") from problem
                raise
            return Running(birth.pid, birth.master, None, birth, Limits(), undo.pop_all())

    def run(
        self,
        sandbox: Sandbox,
        output: Callable[[int, bytes], None],
        stop: threading.Event,
        *,
        more: int = 0,
        wire: Callable[[int], None] | None = None,
    ) -> Exit:
        """Run it to its end, its output handed to `output` on this thread; see `runner.Runtime`."""
        with ExitStack() as ours, selectors.DefaultSelector() as ready:
            nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            ends = [nothing]
            pipes: dict[int, int] = {}
            for stream in (1, 2):
                reader, writer = os.pipe()
                ours.callback(os.close, reader)
                ready.register(reader, selectors.EVENT_READ)
                pipes[reader] = stream
                ends.append(writer)
            try:
                running = self.start(sandbox, ends, wire=wire)
            finally:
                for descriptor in ends:
                    os.close(descriptor)
            ending = _Ending(running, sandbox, stop)
            try:
                self._ready(_Kind.of(sandbox), more)
                ready.register(running, selectors.EVENT_READ)
                open_pipes, ended = len(pipes), 0.0
                while not ended or (open_pipes and time.monotonic() < ended + LINGER):
                    for key, _ in ready.select(LINGER if ended else ending.patience()):
                        if key.fileobj is running:
                            ready.unregister(running)
                            ended = time.monotonic()
                        elif data := os.read(key.fd, PIECE):
                            output(pipes[key.fd], data)
                        else:
                            ready.unregister(key.fd)
                            open_pipes -= 1
                    if not ended:
                        ending.look()
            except BaseException:
                running.kill()
                running.wait()
                raise
            return running.wait()


@dataclass(frozen=True, slots=True)
class _Where:
    root: int
    mount: int
    stubs: Stubs


@dataclass(slots=True)
class _Ending:
    """When a command has to go before it wants to: its time is over, or somebody says stop."""

    running: Running
    sandbox: Sandbox
    stop: threading.Event
    _asked: float = 0.0
    _killed: bool = False

    def patience(self) -> float:
        """Seconds that may pass until the next look."""
        if (limit := self.sandbox.limits.seconds) is None or self._asked:
            return GLANCE
        return max(min(GLANCE, self.running._began + limit - time.monotonic()), 0.001)

    def look(self) -> None:
        """Signal, and after the grace kill."""
        now = time.monotonic()
        if not self._asked:
            limit = self.sandbox.limits.seconds
            late = limit is not None and now >= self.running._began + limit
            if not late and not self.stop.is_set():
                return
            self.running.timed_out = late
            self._asked = now
            self.running.signal(self.sandbox.stop_signal)
        elif not self._killed and now >= self._asked + self.sandbox.grace:
            self._killed = True
            self.running.kill()


def _program(args: Sequence[str], env: object, cwd: str, identity: Identity) -> dict[str, object]:
    """What is executed, in bytes. The program is searched in the PATH of its own environment, as execvp(3) would."""
    words = {os.fsencode(key): os.fsencode(value) for key, value in dict(env).items()}  # type: ignore[call-overload]
    name = os.fsencode(args[0])
    if b"/" in name:
        candidates = [name]
    else:
        path = words.get(b"PATH", DEFAULT_PATH.encode())
        candidates = [(folder or b".") + b"/" + name for folder in path.split(b":")]
    return {
        "args": [os.fsencode(word) for word in args],
        "candidates": candidates,
        "env": words,
        "cwd": os.fsencode(cwd),
        "uid": identity.uid,
        "gid": identity.gid,
        "groups": list(identity.groups),
    }


def _root(sandbox: Sandbox, mapping: int | None, undo: ExitStack, sent: ExitStack) -> _Where:
    """The root as a detached mount, with the places that every sandbox mounts on."""
    root = os.open(sandbox.root, O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    sent.callback(os.close, root)
    mount = copy_mount(AT_FDCWD, os.fsencode(sandbox.root))
    sent.callback(os.close, mount)
    if mapping is not None and _map(mount, mapping):  # a plain directory: what is made in it must be so, too
        root = copy_mount(AT_FDCWD, os.fsencode(sandbox.root))
        sent.callback(os.close, root)
        _map(root, mapping)
    stubs = undo.enter_context(Stubs((sandbox.userns or Ids.same()).outside(0, 0)))
    for name in OURS:
        os.close(find(root, name, directory=True, stubs=stubs))
    return _Where(root, mount, stubs)


def _map(mount: int, mapping: int) -> bool:
    """Show a mount's owners by the map; False if it shows them so already, as an overlay of mapped directories does.

    So stay as they are, too, what the kernel makes up (/proc, /sys), and the files of a disk that knows no such mounts;
    what is mounted below, unless all of it does.
    """
    for recursive in (True, False):
        with suppress(OSError):
            map_owners(mount, mapping, recursive=recursive)
            return True
    return False


def _give(streams: Sequence[int], identity: Identity, ids: Ids) -> None:
    """Let the command open its pipes again, as /dev/stderr."""
    try:
        uid, gid = ids.outside(identity.uid, identity.gid)
        here(uid, gid)
    except KeyError as problem:
        what = f"{problem.args[0]}, out of reach of this user namespace"
        raise SandboxUnavailable(what, "choose another user, or map more (--uidmap, /etc/subuid)") from problem
    for stream in streams:
        if stat.S_ISFIFO(os.fstat(stream).st_mode):
            with suppress(PermissionError):
                os.fchown(stream, uid, gid)


def _ids(pid: int) -> Ids:
    """The numbers of a running process's users."""
    try:
        return Ids.of(pid)
    except FileNotFoundError as problem:
        raise SandboxUnavailable(f"process {pid} has ended", "start it again first") from problem


def _namespaces(sandbox: Sandbox) -> int:
    kinds = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS
    if sandbox.network == "none":
        kinds |= CLONE_NEWNET
    if sandbox.userns is not None:
        kinds |= CLONE_NEWUSER
    return kinds


def shared_not(pid: int) -> int:
    """The kinds of namespaces in which a process is not with us; the zygote enters its PID namespace itself."""
    kinds = 0
    for name, kind in (
        ("mnt", CLONE_NEWNS),
        ("ipc", CLONE_NEWIPC),
        ("uts", CLONE_NEWUTS),
        ("net", CLONE_NEWNET),
        ("cgroup", CLONE_NEWCGROUP),
        ("user", CLONE_NEWUSER),
        ("time", CLONE_NEWTIME),
    ):
        with suppress(FileNotFoundError):  # a kernel without this kind
            if os.readlink(f"/proc/{pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}"):
                kinds |= kind
    return kinds


def _held(sandbox: Sandbox) -> frozenset[str]:
    """The capabilities that it gets: the usual ones that we have, and all that were asked for besides.

    Raises SandboxUnavailable if we lack one of the latter.
    """
    missing = sandbox.capabilities - held()
    if asked := sorted(missing - DEFAULT_CAPABILITIES):
        what = f"this process has not the capability {asked[0]} itself, so it cannot give it"
        raise SandboxUnavailable(what, f"leave {asked[0]} out, or start pybuild with it")
    return sandbox.capabilities - missing


def _filter(sandbox: Sandbox, capabilities: frozenset[str]) -> bytes:
    """The system-call filter, empty for none."""
    if not sandbox.seccomp:
        return b""
    return seccomp.program(capabilities) if sandbox.filter is None else sandbox.filter


def _node(device: devices.Device) -> tuple[bytes, bytes, int, int, int, int, int]:
    """What a job says of a device."""
    path = os.path.normpath(device.target)
    if not path.startswith("/dev/") or path.split("/")[2] in OUR_DEV:
        raise SandboxUnavailable(f"a device cannot stand at {device.target}", "choose another place below /dev")
    kind = stat.S_IFBLK if device.kind == "b" else stat.S_IFCHR
    return (
        os.fsencode(path[len("/dev/") :]),
        os.fsencode(device.source),
        kind | device.mode,
        device.major,
        device.minor,
        device.uid,
        device.gid,
    )


def _has_ended(pidfd: int) -> bool:
    return bool(select.select([pidfd], [], [], 0)[0])


def _is_among_us(pid: int) -> bool:
    """Whether a process is behind no walls."""
    return os.readlink(f"/proc/{pid}/ns/pid") == os.readlink("/proc/self/ns/pid")


def _mask(capabilities: frozenset[str]) -> int:
    return sum(1 << CAPABILITIES[name] for name in capabilities)


def _membership(group: Cgroup, sent: ExitStack) -> tuple[list[int], dict[str, object]]:
    """Descriptors by which a process enters the groups, and what a seed says of them."""
    descriptors = group.joins()
    for descriptor in descriptors:
        sent.callback(os.close, descriptor)
    words: dict[str, object] = {"joins": len(descriptors), "unified": group.unified is not None}
    if group.unified is not None:  # version 2: it is born inside
        unified = os.open(group.unified, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        sent.callback(os.close, unified)
        descriptors.append(unified)
    return descriptors, words


def _cgroup_view(there: Hierarchy, group: Cgroup) -> list[tuple[bytes, bytes, dict[bytes, bytes | None]]]:
    """What stands at /sys/fs/cgroup: the one tree of version 2, or a directory a hierarchy of version 1."""
    if there.is_unified:
        return [(b"", b"cgroup2", {})]
    by_place: dict[Path, list[str]] = {}
    for controller, path in there.legacy.items():
        by_place.setdefault(path, []).append(controller)
    return [
        (",".join(names).encode(), b"cgroup", {name.encode(): None for name in names})
        for names in by_place.values()
        if all(name in group.legacy for name in names)
    ]


def _mounts(
    sandbox: Sandbox, root: int, stubs: Stubs, sent: ExitStack, *, nodev: bool, mapping: int | None
) -> tuple[list[int], list[tuple[bytes, bool, dict[bytes, bytes | None] | None, int]]]:
    """Detached mounts of the binds, and the orders for all of them, shallow targets first."""
    binds: list[int] = []
    orders: list[tuple[bytes, bool, dict[bytes, bytes | None] | None, int]] = []
    for mount in sorted(sandbox.mounts, key=lambda mount: os.path.normpath(mount.target).count("/")):
        target = os.fsencode(os.path.normpath(mount.target).lstrip("/"))
        directory = mount.source is None or mount.source.is_dir()
        if not _below_another(mount, sandbox.mounts) and target.split(b"/")[0] not in OURS:
            os.close(find(root, target, directory=directory, stubs=stubs))
        if mount.kind == "tmpfs":
            flags = NOSUID | NODEV | (RDONLY if mount.readonly else 0) | (NOEXEC if mount.noexec else 0)
            orders.append((target, True, _tmpfs(mount), flags))
            continue
        assert mount.source is not None
        bind = copy_mount(AT_FDCWD, os.fsencode(mount.source), recursive=True)
        sent.callback(os.close, bind)
        change_mount(
            bind, add=(RDONLY if mount.readonly else 0) | (NODEV if nodev else 0), private=True, recursive=True
        )
        if mapping is not None and not mount.moved:
            _map(bind, mapping)
        binds.append(bind)
        orders.append((target, directory, None, 0))
    return binds, orders


def _below_another(mount: Mount, mounts: Sequence[Mount]) -> bool:
    """Whether its target lies inside another mount, which only the child can look into."""
    here = os.path.normpath(mount.target)
    return any(one is not mount and here.startswith(os.path.normpath(one.target).rstrip("/") + "/") for one in mounts)


def _tmpfs(mount: Mount) -> dict[bytes, bytes | None]:
    options: dict[bytes, bytes | None] = {b"mode": b"%o" % (0o1777 if mount.mode is None else mount.mode)}
    if mount.size is not None:
        options[b"size"] = b"%d" % mount.size
    return options

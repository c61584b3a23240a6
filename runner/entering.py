"""A further command behind the walls of one that runs already."""

import errno
import os
import select
from collections.abc import Sequence
from contextlib import ExitStack, suppress

from runner.capabilities import bounds
from runner.cgroups import Cgroup, group_of
from runner.command import command, give
from runner.errors import SandboxBroken, SandboxUnavailable
from runner.ids import Ids
from runner.job import ENTER, Job, Seed
from runner.linux import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWTIME,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
)
from runner.owners import nested
from runner.running import Running
from runner.sandbox import Sandbox
from runner.spares import membership
from runner.spawner import Spawner


def enter(spawner: Spawner, pid: int, sandbox: Sandbox, streams: Sequence[int], *, tty: bool) -> Running:
    """Begin it; see `runner.native.Native.exec_in`. Raises SandboxUnavailable, SandboxBroken."""
    with ExitStack() as sent:
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError as problem:
            raise SandboxUnavailable(f"process {pid} has ended", "start it again first") from problem
        sent.callback(os.close, pidfd)
        try:
            group = group_of(pid)
            if group is None and nested() and not _has_ended(pidfd) and not _is_among_us(pid):
                group = Cgroup({}, None)  # who is not root makes none
            if group is None:
                raise SandboxUnavailable(f"process {pid} has ended", "start it again first")
            if group.frozen:  # it would be frozen with them before it is anything
                raise SandboxUnavailable(f"process {pid} is paused", "let it go on first")
            kinds = shared_not(pid)
            capabilities = sandbox.capabilities if sandbox.privileged else sandbox.capabilities & bounds(pid)
            ids = _ids(pid)
            job = Job(**command(sandbox, capabilities, ids, tty=tty), init=False)
            descriptors, words = membership(group, sent)
            score = sandbox.limits.oom_score_adj
            sown = spawner.sow(
                Seed(kind=ENTER, namespaces=kinds, time_offset=None, oom_score_adj=score, **words),
                [*descriptors, pidfd],
            )
            give(streams, sandbox.identity, ids)
            birth = sown.grow(job, streams)
        except (SandboxBroken, SandboxUnavailable, OSError) as problem:
            if _has_ended(pidfd):
                raise SandboxUnavailable(f"process {pid} has ended", "start it again first") from None
            if isinstance(problem, SandboxBroken) and (problem.step, problem.errno) == ("clone3", errno.EACCES):
                what = "this process may not go from its control group into that of the container"  # none above is ours
                fix = "begin in one of your own: `systemd-run --user --scope -p Delegate=yes pybuild exec …`"
                raise SandboxUnavailable(what, fix) from None
            raise
        return Running(birth)


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


def _ids(pid: int) -> Ids:
    """The numbers of a running process's users."""
    try:
        return Ids.of(pid)
    except FileNotFoundError as problem:
        raise SandboxUnavailable(f"process {pid} has ended", "start it again first") from problem


def _has_ended(pidfd: int) -> bool:
    return bool(select.select([pidfd], [], [], 0)[0])


def _is_among_us(pid: int) -> bool:
    """Whether a process is behind no walls."""
    return os.readlink(f"/proc/{pid}/ns/pid") == os.readlink("/proc/self/ns/pid")

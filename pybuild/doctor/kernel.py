"""What the kernel gives: namespaces, mounts, filters, control groups."""

from __future__ import annotations

import os
import platform
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from pybuild.doctor.finding import Finding, Lacking, apart, examine
from runner import linux
from runner.hierarchy import Hierarchy
from runner.rootless import owner

ROOT = "sudo pybuild doctor"
DELEGATE = "systemd-run --user --scope -p Delegate=yes pybuild doctor"
UNIFY = (
    "sudo sed -i 's/^GRUB_CMDLINE_LINUX=\"/&systemd.unified_cgroup_hierarchy=1 /' /etc/default/grub && sudo update-grub"
)
"""And a restart: Debian's way to control groups of version 2 alone, which can be handed on to users."""
HAND_ON = (
    "sudo mkdir -p /etc/systemd/system/user@.service.d && printf '[Service]\\nDelegate=yes\\n' | "
    "sudo tee /etc/systemd/system/user@.service.d/delegate.conf && sudo systemctl daemon-reload"
)
"""And a new login: systemd hands on all controllers then, not only those that cost nothing."""
IDS = "put the store on ext4, xfs or btrfs (--root), or use Linux 6.3 or newer"
LIMITS = ("memory", "cpu", "pids", "cpuset", "freezer")


def findings(store: Path) -> Iterator[Finding]:
    """All of them; `store` is where layers are."""
    yield examine("kernel", _kernel, serves="everything", needed=True)
    user = owner() is not None
    fix = "sysctl -w kernel.unprivileged_userns_clone=1" if user else "run where CAP_SYS_ADMIN is held"
    yield examine("mount namespace", apart(_namespace(linux.CLONE_NEWNS)), serves="RUN, run", fix=fix, needed=True)
    for name, flag, serves in (
        ("pid namespace", linux.CLONE_NEWPID, "RUN, run"),
        ("ipc namespace", linux.CLONE_NEWIPC, "RUN, run"),
        ("uts namespace", linux.CLONE_NEWUTS, "RUN, run"),
        ("network namespace", linux.CLONE_NEWNET, "--network none, bridges"),
    ):
        yield examine(name, apart(_namespace(flag)), serves=serves, fix=ROOT, needed=True)
    yield examine("user namespace", apart(_users), serves="--userns, use without root")
    yield examine("time namespace", apart(_namespace(linux.CLONE_NEWTIME)), serves="clocks of a container's own")
    fix = "use Linux 5.12 or newer"
    yield examine("mount API", apart(_mounts), serves="RUN, run", fix=fix, needed=True)
    serves = "--userns without unpacking layers once more" if user else "--userns"
    yield examine("idmapped mounts", apart(_idmapped(store)), serves=serves, fix=ROOT if user else IDS)
    yield examine(
        "seccomp",
        apart(_seccomp),
        serves="the system-call filter",
        fix="use a kernel with CONFIG_SECCOMP_FILTER",
        needed=True,
    )
    for name in LIMITS:
        yield examine(f"cgroup {name}", _cgroup(name), serves=_serves(name))
    yield examine("device filter", _devices, serves="containers that may make device nodes")


def _kernel() -> str:
    from runner.syscalls import table

    machine = os.uname().machine
    try:
        table(machine)
    except KeyError:
        raise Lacking(f"{machine} is no machine whose system calls are known (x86_64, aarch64)") from None
    return f"Linux {os.uname().release} on {machine}, Python {platform.python_version()}"


def _namespace(flag: int) -> Callable[[], str]:
    def probe() -> str:
        linux.unshare(flag)
        return "can be made"

    return probe


def _users() -> str:
    itself = os.getuid()
    try:
        linux.unshare(linux.CLONE_NEWUSER)
        Path("/proc/self/uid_map").write_text(f"0 {itself} 1")
    except OSError as error:
        for name, wanted in (
            ("kernel/unprivileged_userns_clone", "1"),
            ("kernel/apparmor_restrict_unprivileged_userns", "0"),
            ("user/max_user_namespaces", "15000"),
        ):
            path = Path("/proc/sys", name)
            if path.exists() and path.read_text().strip() in ({"0", "1"} - {wanted} if wanted in "01" else {"0"}):
                raise Lacking(error.strerror or "", f"sysctl -w {name.replace('/', '.')}={wanted}") from error
        raise
    return "can be made"


def _mounts() -> str:
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount(None, b"/", None, linux.MS_REC | linux.MS_PRIVATE)
    made = linux.new_mount(b"tmpfs", {})
    linux.change_mount(made, add=linux.RDONLY)
    linux.attach(made, linux.AT_FDCWD, b"/proc")
    copied = linux.copy_mount(linux.AT_FDCWD, b"/proc")
    if not os.fstatvfs(copied).f_flag & os.ST_RDONLY:
        raise Lacking("a mount was not read-only although it should be")
    return "fsopen, fsmount, mount_setattr, move_mount and open_tree work"


def _idmapped(store: Path) -> Callable[[], str]:
    def probe() -> str:
        from contextlib import ExitStack

        from runner.oci.idmaps import user_namespace

        with ExitStack() as undo:
            numbers = b"0 100000 1000\n"
            users = user_namespace(numbers, numbers, undo)
            view = linux.copy_mount(linux.AT_FDCWD, os.fsencode(_existing(store)))
            linux.map_owners(view, users)
        return f"the file system of {_existing(store)} can be shown with other owners"

    return probe


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _seccomp() -> str:
    from runner import DEFAULT_CAPABILITIES, seccomp

    linux.control(linux.PR_SET_NO_NEW_PRIVS, 1)
    linux.install_filter(seccomp.program(DEFAULT_CAPABILITIES))
    try:
        linux.unshare(linux.CLONE_NEWUTS)
    except PermissionError:
        return "the filter is taken, and refuses unshare(2)"
    raise Lacking("a filter was taken but refuses nothing")


def _serves(controller: str) -> str:
    flags = {"memory": "--memory", "cpu": "--cpus, --cpu-shares", "pids": "--pids-limit", "cpuset": "--cpuset-cpus"}
    return flags.get(controller, "pause")


def _cgroup(name: str) -> Callable[[], str]:
    def probe() -> str:
        from runner import Limits, LimitUnavailable
        from runner.cgroups import Cgroup
        from runner.hierarchy import discover

        asked = {
            "memory": Limits(memory=64 << 20),
            "cpu": Limits(cpus=0.5),
            "pids": Limits(pids=10),
            "cpuset": Limits(cpuset_cpus="0"),
        }.get(name, Limits())
        there = discover()
        try:
            group = Cgroup.create(asked, there)
        except LimitUnavailable as error:
            raise Lacking(error.reason, _delegated(there)) from error
        try:
            if name == "freezer":
                group.freeze()
                group.freeze(frozen=False)
        except LimitUnavailable as error:
            raise Lacking(error.reason, _delegated(there)) from error
        finally:
            group.remove()
        return f"version {1 if name in group.legacy else 2}, a limit was set"

    return probe


def _delegated(there: Hierarchy) -> str:
    if owner() is not None:  # in version 1 nobody hands groups on
        if there.is_unified and there.unified is not None:
            return HAND_ON if os.access(there.unified, os.W_OK) else DELEGATE
        return UNIFY
    return "mount -t cgroup2 none /sys/fs/cgroup" if not Path("/sys/fs/cgroup/cgroup.procs").exists() else ROOT


def _devices() -> str:
    from runner import Limits, guard
    from runner.cgroups import Cgroup

    group = Cgroup.create(Limits())
    try:
        way = guard.restrict(group.unified, group.legacy.get("devices"))
    finally:
        group.remove()
    if not way:
        if owner() is not None:
            raise Lacking("only root of this machine sets one; who is not root can make no device nodes anyway", ROOT)
        raise Lacking("neither an eBPF program nor a version-1 list is taken; MKNOD is taken from containers", ROOT)
    return {"bpf": "by an eBPF program", "cgroup": "by a list of cgroup version 1"}[way]


def tun() -> str:
    """Open /dev/net/tun, as helpers for networks without root do."""
    try:
        found = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise Lacking("there is no /dev/net/tun", "modprobe tun") from error
    except PermissionError as error:
        raise Lacking("may not be opened", "chmod 666 /dev/net/tun") from error
    mode = stat.S_IMODE(os.fstat(found).st_mode)
    os.close(found)
    if not mode & 0o006 == 0o006:
        raise Lacking("opens for root, not for users", "chmod 666 /dev/net/tun")
    return "opens"

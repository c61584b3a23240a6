"""The file system of a bundle, built in its own mount namespace in the order that config.json gives.

As in `runner.walls` no path of the root is believed: every place is found by descriptor, inside the root, and /proc and
/sys must be real directories. Nothing is mounted inside /proc but what replaces single figures (as lxcfs does).
"""

import errno
import os
from contextlib import suppress

from runner.covers import STRICT, Covers, freeze, there
from runner.linux import (
    CLONE_NEWNET,
    MNT_DETACH,
    O_PATH,
    RDONLY,
    attach,
    call,
    change_mount,
    copy_mount,
    filesystem,
    new_mount,
    open_in,
    pivot_root,
    unmount,
)
from runner.oci.copyup import copy_up
from runner.targets import find
from runner.walls import LINKS, SAFE

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NoReturn

    from runner.oci.order import Order, Place

PROC, DEVPTS = 0x9FA0, 0x1CD1
"""Magic numbers of statfs(2)."""
INSIDE_PROC = frozenset(
    b"proc/" + name
    for name in b"cpuinfo diskstats meminfo stat swaps uptime loadavg slabinfo net/dev sys/kernel/ns_last_pid "
    b"sys/crypto/fips_enabled".split()
)
"""What may be mounted on below /proc: figures about the machine, nothing about processes."""
RECURSIVE = 0x4000


class House:
    """The root while it is built; `at` names the part that is being worked on."""

    def __init__(self, order: "Order", root: int, binds: "Iterator[int]", namespaces: int) -> None:
        self.order = order
        self.namespaces = namespaces
        self.at = "root"
        self.old = os.open(b"/", O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.root = root
        self.binds = binds

    def build(self) -> None:
        """Mount everything below the root."""
        order = self.order
        attach(self.root, self.old)
        for place in order.places:
            self._mount(place)
        if order.own_dev:
            self._devices()
        if order.sysctl:
            self._sysctl()
        self._mask()

    def show_console(self, slave: int) -> None:
        """Make the terminal the container's /dev/console."""
        self.at = "/dev/console"
        target = find(self.root, b"dev/console", directory=False)
        attach(copy_mount(slave), target)

    def pts(self) -> int:
        """Where terminals of this root are made."""
        self.at = "terminal"
        pts = open_in(self.root, b"dev/pts", O_PATH | os.O_DIRECTORY, resolve=STRICT)
        if filesystem(pts) != DEVPTS:
            raise OSError(errno.ENODEV, "no devpts at /dev/pts", b"/dev/pts")
        return pts

    def enter(self) -> None:
        """Make it the root of this process and let go of the host's files."""
        order = self.order
        if order.readonly_root:
            self.at = "read-only root"
            change_mount(self.root, add=RDONLY)
        self.at = "pivot_root"
        os.fchdir(self.root)
        if order.pivot:
            pivot_root()
            os.fchdir(self.old)
            unmount(b".", MNT_DETACH)
        else:
            os.chroot(b".")
        os.chdir(b"/")
        if order.root_propagation:
            self.at = "rootfsPropagation"
            change_mount(
                self.root,
                propagation=order.root_propagation & ~RECURSIVE,
                recursive=bool(order.root_propagation & RECURSIVE),
            )

    def _mount(self, place: "Place") -> None:
        kind, path, directory, options, attributes, propagation, copied, descriptors = place
        self.at = f"mount {os.fsdecode(kind)} on /{os.fsdecode(path)}"
        given = [next(self.binds) for _ in range(descriptors)]
        if path not in INSIDE_PROC and (
            path.startswith(b"proc/")
            or (path == b"proc" and kind != b"proc" and not (kind == b"bind" and filesystem(given[0]) == PROC))
        ):
            self._refuse_proc(path)
        target = find(self.root, path, directory=directory)
        if filesystem(target) == PROC and path not in INSIDE_PROC:  # by a link, perhaps
            self._refuse_proc(path)
        if kind in (b"proc", b"sysfs"):
            os.close(target)
            target = open_in(self.root, path, O_PATH | os.O_DIRECTORY, resolve=STRICT)
        if kind == b"bind":
            attach(given[0], target)
        elif kind == b"cgroup" and descriptors:
            self._cgroups(target, given, list(options), attributes)
        else:
            made = self._new(kind, options, attributes & ~RDONLY)
            if copied:
                copy_up(target, made)
            if attributes & RDONLY:
                change_mount(made, add=RDONLY)
            if propagation:
                change_mount(made, propagation=propagation & ~RECURSIVE, recursive=bool(propagation & RECURSIVE))
            attach(made, target)
            os.close(made)
        for one in given:
            os.close(one)
        os.close(target)

    def _refuse_proc(self, path: bytes) -> "NoReturn":
        self.at += ": nothing can be mounted inside /proc"
        raise OSError(errno.EPERM, "inside /proc", path)

    def _new(self, kind: bytes, options: dict[bytes, bytes | None], attributes: int) -> int:
        try:
            return new_mount(kind, options, attributes=attributes)
        except PermissionError:
            if kind != b"sysfs" or self.namespaces & CLONE_NEWNET:
                raise
            # A user namespace that shares the host's network gets the host's view, read-only.
            view = copy_mount(self.old, b"sys", recursive=True)
            change_mount(view, add=SAFE | RDONLY, recursive=True)
            return view

    def _cgroups(self, target: int, given: list[int], names: list[bytes], attributes: int) -> None:
        """The groups of this container: the one tree of version 2, or a directory a hierarchy of version 1."""
        if names == [b""]:
            attach(given[0], target)
            return
        top = new_mount(b"tmpfs", {b"mode": b"755", b"size": b"64k"}, attributes=attributes & ~RDONLY)
        attach(top, target)
        for name, view in zip(names, given, strict=True):
            os.mkdir(name, 0o755, dir_fd=top)
            attach(view, top, name)
            for alias in name.split(b",") if b"," in name else ():
                os.symlink(name, alias, dir_fd=top)
        if attributes & RDONLY:
            change_mount(top, add=RDONLY)

    def _devices(self) -> None:
        for path, mode, major, minor, uid, gid in self.order.nodes:
            self.at = f"device /{os.fsdecode(path)}"
            if self.order.in_user:  # no mknod(2) here, so the host's own nodes are shown
                target = find(self.root, path, directory=False)
                attach(copy_mount(self.old, path), target)
                os.close(target)
                continue
            folder, _, name = path.rpartition(b"/")
            parent = find(self.root, folder, directory=True)
            try:
                os.mknod(name, mode, os.makedev(major, minor), dir_fd=parent)
            except FileExistsError:
                continue
            finally:
                os.close(parent)
            node = open_in(self.root, path, O_PATH | os.O_NOFOLLOW)
            os.chown(b"/proc/self/fd/%d" % node, uid, gid)
            os.close(node)
        self.at = "/dev"
        dev = open_in(self.root, b"dev", O_PATH | os.O_DIRECTORY, resolve=STRICT)
        for name, text in LINKS:
            if name == b"ptmx":
                with suppress(FileNotFoundError, IsADirectoryError):
                    os.unlink(name, dir_fd=dev)
            if name == b"core" and not os.path.exists(b"/proc/kcore"):
                continue
            with suppress(FileExistsError):
                os.symlink(text, name, dir_fd=dev)
        os.close(dev)

    def _sysctl(self) -> None:
        self.at = "sysctl"
        proc = new_mount(b"proc", {}, attributes=SAFE)
        for path, value in self.order.sysctl:
            self.at = f"sysctl {os.fsdecode(path).replace('/', '.')}"
            file = open_in(proc, b"sys/" + path, os.O_WRONLY, resolve=STRICT)
            try:
                os.write(file, value)
            finally:
                os.close(file)
        os.close(proc)

    def _mask(self) -> None:
        covers = Covers((self.old, b"dev/null"))
        for path in self.order.readonly:
            self.at = f"read-only path /{os.fsdecode(path)}"
            if (target := there(self.root, path)) is not None:
                freeze(target)
                os.close(target)
        for path in self.order.masked:
            self.at = f"masked path /{os.fsdecode(path)}"
            if (target := there(self.root, path)) is not None:
                covers.hide(target)
                os.close(target)


def security_file() -> int:
    """The attribute that names the profile of the next program, as a descriptor; for this process's security module."""
    for path in (b"/proc/thread-self/attr/apparmor/exec", b"/proc/thread-self/attr/exec"):
        with suppress(OSError):
            return os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    raise OSError(errno.ENOTSUP, "no security module", b"/proc/thread-self/attr/exec")


def set_priority(value: int) -> None:
    """ioprio_set(2) for this process."""
    call("ioprio_set", 1, 0, value)

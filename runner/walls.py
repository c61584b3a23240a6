"""The file system that a step sees, built in its own mount namespace.

Nothing of the image is trusted: before the root is changed, every place in it is found by descriptor with openat2(2),
and /proc, /sys and /dev must be real directories there, never links. /dev is built before it is attached, and what
masks a file is our own `null`, never the image's. Masked and read-only paths are those container engines agree on.
"""

import errno
import os
import stat

from runner.covers import STRICT, Covers, freeze, there
from runner.job import Job, Seed
from runner.linux import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    MNT_DETACH,
    NODEV,
    NOEXEC,
    NOSUID,
    O_PATH,
    RDONLY,
    attach,
    change_mount,
    copy_mount,
    new_mount,
    open_in,
    pivot_root,
    unmount,
)
from runner.suppress import suppress
from runner.targets import find

DEVICES = (
    (b"null", 1, 3),
    (b"zero", 1, 5),
    (b"full", 1, 7),
    (b"random", 1, 8),
    (b"urandom", 1, 9),
    (b"tty", 5, 0),
)
LINKS = (
    (b"fd", b"/proc/self/fd"),
    (b"stdin", b"/proc/self/fd/0"),
    (b"stdout", b"/proc/self/fd/1"),
    (b"stderr", b"/proc/self/fd/2"),
    (b"ptmx", b"pts/ptmx"),
    (b"core", b"/proc/kcore"),
)
GIVEN = b".given"
SAFE = NOSUID | NODEV | NOEXEC


class Walls:
    """The root of one step while it is built. `at` names the part that is being worked on, for error reports.

    What needs no root is made at once and put together in a place of its own, so that a process has it ready before
    its job comes; `build` moves it to the root.
    """

    def __init__(self, seed: Seed) -> None:
        self.namespaces = seed.namespaces
        self.root = -1
        self.at = "/proc"
        self.proc = self._proc()
        self.at = "/sys"
        self.old = os.open(b"/", O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.guard = SAFE if seed.writable_sys else SAFE | RDONLY
        self.sys = self._sys()
        self.at = "/sys/fs/cgroup"
        self.views = [
            (name, new_mount(kind, options, attributes=self.guard)) for name, kind, options in seed.cgroup_view
        ]
        self.many = bool(self.views) and bool(self.views[0][0])
        if self.many:
            self.top = new_mount(b"tmpfs", {b"mode": b"755", b"size": b"64k"}, attributes=SAFE)
            for name, _ in self.views:
                os.mkdir(name, 0o755, dir_fd=self.top)
        self.at = "/dev"
        self.shown: list[bytes] = []
        self.dev = self._dev()
        self.at = "/dev/pts"
        options: dict[bytes, bytes | None] = {
            b"newinstance": None,
            b"ptmxmode": b"0666",
            b"mode": b"0620",
            b"gid": b"5",
        }
        try:
            self.pts = new_mount(b"devpts", options, attributes=NOSUID | NOEXEC)
        except OSError as problem:
            if problem.errno != errno.EINVAL:  # a user namespace without a group 5
                raise
            del options[b"gid"]
            self.pts = new_mount(b"devpts", options, attributes=NOSUID | NOEXEC)
        self.at = "/dev/mqueue"
        self.mqueue = -1
        try:
            self.mqueue = new_mount(b"mqueue", {}, attributes=SAFE)
        except OSError as problem:
            if problem.errno != errno.ENODEV:  # a kernel built without POSIX message queues
                raise
        self.covers = Covers((self.dev, b"null"))
        self._gather(seed)

    def _gather(self, seed: Seed) -> None:
        """Put together what `build` moves as a whole: the kernel lets nothing be mounted on what is on no path.

        Where the host has its /sys, which is not needed any more; not on its root, which has to be the uppermost mount
        there when we let go of it.
        """
        self.at = "/proc, /sys and /dev"
        place = new_mount(b"tmpfs", {b"mode": b"755", b"size": b"64k"}, attributes=SAFE)
        try:
            attach(place, self.old, b"sys")
        except FileNotFoundError:  # a host that shows nobody its devices
            attach(place, self.old, b"proc")
        for name, part in ((b"proc", self.proc), (b"sys", self.sys), (b"dev", self.dev)):
            os.mkdir(name, 0o755, dir_fd=place)
            attach(part, place, name)
        os.close(place)
        self._show_cgroups()
        self.at = "/dev"
        for name in self.shown:
            attach(copy_mount(self.old, b"dev/" + name), self.dev, name)
        attach(self.pts, self.dev, b"pts")
        if self.mqueue >= 0:
            attach(self.mqueue, self.dev, b"mqueue")
        self.settings = open_in(self.proc, b"sys", O_PATH | os.O_DIRECTORY, resolve=STRICT)
        for path in seed.masked:
            self._hide(path)
        for path in seed.readonly:
            self.at = "read-only path /" + os.fsdecode(path)
            if (target := self._there(path)) is not None:
                freeze(target, RDONLY | SAFE)
                os.close(target)

    def build(self, job: Job, root: int, binds: list[int]) -> None:
        """Mount everything below the root, in an order in which each part stands on trusted ones only."""
        self.at = "root"
        self.root = root
        attach(root, self.old)
        self.at = "/proc"
        attach(self.proc, self._directory(b"proc"))
        self.at = "/sys"
        attach(self.sys, self._directory(b"sys"))
        self.at = "/dev"
        attach(self.dev, self._directory(b"dev"))
        nodes = self._given(binds.pop(0)) if job.given else -1
        for number, device in enumerate(job.devices):
            self._device(device, nodes, b"%d" % number)
        if nodes >= 0:
            os.fchdir(nodes)
            unmount(b".", MNT_DETACH)
            os.rmdir(GIVEN, dir_fd=self.dev)
        self.at = "/dev/shm"
        if not self.namespaces & CLONE_NEWIPC:
            attach(copy_mount(self.old, b"dev/shm"), self.dev, b"shm")
        elif job.shm_size:
            options: dict[bytes, bytes | None] = {b"source": b"shm", b"mode": b"1777", b"size": b"%d" % job.shm_size}
            shm = new_mount(b"tmpfs", options, attributes=SAFE)
            attach(shm, self.dev, b"shm")
        self._set(job)
        if job.emulator:
            self._emulate(job.emulator, binds.pop())
        self._mounts(job, binds)
        for path in job.masked:
            self._hide(path)
        if job.readonly_root or job.nodev:
            self.at = "root attributes"
            change_mount(self.root, add=(RDONLY if job.readonly_root else 0) | (NODEV if job.nodev else 0))

    def show_console(self, slave: int) -> None:
        """Make the terminal of this step its /dev/console."""
        os.close(os.open(b"console", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=self.dev))
        attach(copy_mount(slave), self.dev, b"console")

    def enter(self) -> None:
        """Make it the root of this process and let go of the host's files."""
        self.at = "pivot_root"
        os.fchdir(self.root)
        pivot_root()
        os.fchdir(self.old)
        unmount(b".", MNT_DETACH)
        os.chdir(b"/")

    def _directory(self, name: bytes) -> int:
        return open_in(self.root, name, O_PATH | os.O_DIRECTORY, resolve=STRICT)

    def _proc(self) -> int:
        proc = new_mount(b"proc", {}, attributes=SAFE)
        if self.namespaces & CLONE_NEWNET:
            for name, value in ((b"ip_unprivileged_port_start", b"0"), (b"ping_group_range", b"0 2147483647")):
                with suppress(FileNotFoundError, PermissionError):  # no IPv4, or a group that has no number here
                    _write(proc, b"sys/net/ipv4/" + name, value)
        return proc

    def _sys(self) -> int:
        try:
            return new_mount(b"sysfs", {}, attributes=self.guard)
        except PermissionError:  # a user namespace that shares the host's network gets the host's view, read-only
            sysfs = copy_mount(self.old, b"sys", recursive=True)
            change_mount(sysfs, add=self.guard, recursive=True)
            return sysfs

    def _dev(self) -> int:
        dev = new_mount(b"tmpfs", {b"mode": b"755", b"size": b"65536k"}, attributes=NOSUID | NOEXEC)
        for name, major, minor in DEVICES:
            try:
                os.mknod(name, stat.S_IFCHR | 0o666, os.makedev(major, minor), dir_fd=dev)
            except PermissionError:  # in a user namespace; so the host's own nodes are shown
                os.close(os.open(name, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o666, dir_fd=dev))
                self.shown.append(name)
        for name, text in LINKS:
            os.symlink(text, name, dir_fd=dev)
        for name in (b"pts", b"shm", b"mqueue"):
            os.mkdir(name, 0o755, dir_fd=dev)
        return dev

    def _show_cgroups(self) -> None:
        self.at = "/sys/fs/cgroup"
        if not self.views:
            return
        try:
            place = open_in(self.sys, b"fs/cgroup", O_PATH | os.O_DIRECTORY, resolve=STRICT)
        except FileNotFoundError:
            return
        if not self.many:
            attach(self.views[0][1], place)
            return
        attach(self.top, place)
        for name, view in self.views:
            attach(view, self.top, name)
        change_mount(self.top, add=self.guard)

    def _given(self, mount: int) -> int:
        """The nodes that were made for us outside of our user namespace; on a path, from which they are copied."""
        os.mkdir(GIVEN, 0o700, dir_fd=self.dev)
        attach(mount, self.dev, GIVEN)
        return open_in(self.dev, GIVEN, O_PATH | os.O_DIRECTORY, resolve=STRICT)

    def _device(self, device: tuple[bytes, bytes, int, int, int, int, int], nodes: int, number: bytes) -> None:
        """A further node in our /dev; no link in it is followed."""
        path, source, mode, major, minor, uid, gid = device
        self.at = "/dev/" + os.fsdecode(path)
        if path in self.shown and source == b"/dev/" + path:
            return
        *folders, name = path.split(b"/")
        place = os.dup(self.dev)
        for folder in folders:
            with suppress(FileExistsError):
                os.mkdir(folder, 0o755, dir_fd=place)
            place, above = open_in(place, folder, O_PATH | os.O_DIRECTORY, resolve=STRICT), place
            os.close(above)
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=place)
        if self.shown:  # in a user namespace, here too
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o666, dir_fd=place))
            node = copy_mount(nodes, number) if nodes >= 0 else copy_mount(self.old, source.lstrip(b"/"))
            attach(node, place, name)
        else:
            os.mknod(name, mode, os.makedev(major, minor), dir_fd=place)
            os.chown(name, uid, gid, dir_fd=place, follow_symlinks=False)
        os.close(place)

    def _set(self, job: Job) -> None:
        """Settings of the kernel that count for our namespaces only."""
        for name, value in job.sysctls:
            self.at = "sysctl " + os.fsdecode(name)
            descriptor = open_in(self.settings, name, os.O_WRONLY, resolve=STRICT)
            os.write(descriptor, value)
            os.close(descriptor)

    def _emulate(self, line: bytes, program: int) -> None:
        """Register an emulator for our user namespace; its program is opened now, while /proc is the host's."""
        self.at = "/proc/sys/fs/binfmt_misc"
        users = os.open(b"/proc/self/uid_map", os.O_RDONLY | os.O_CLOEXEC)
        if os.read(users, 99).split() == [b"0", b"0", b"4294967295"]:
            raise OSError(errno.EPERM, "it would be everybody's")
        os.close(users)
        handlers = new_mount(b"binfmt_misc", {}, attributes=SAFE)
        descriptor = os.open(b"register", os.O_WRONLY | os.O_CLOEXEC, dir_fd=handlers)
        with suppress(FileExistsError):  # another one who shares our user namespace has the same
            os.write(descriptor, b"%s/proc/self/fd/%d:PCF" % (line, program))
        os.close(descriptor)
        change_mount(handlers, add=RDONLY)
        attach(handlers, open_in(self.proc, b"sys/fs/binfmt_misc", O_PATH | os.O_DIRECTORY, resolve=STRICT))

    def _hide(self, path: bytes) -> None:
        self.at = "masked path /" + os.fsdecode(path)
        if (target := self._there(path)) is not None:
            self.covers.hide(target)
            os.close(target)

    def _there(self, path: bytes) -> int | None:
        """What a path of the root leads to; in /proc and /sys no link is followed."""
        for top, place in ((self.proc, b"proc/"), (self.sys, b"sys/")):
            if path.startswith(place):
                return there(top, path[len(place) :], links=False)
        return there(self.root, path)

    def _mounts(self, job: Job, binds: list[int]) -> None:
        waiting = iter(binds)
        closed = {os.fstat(self.proc).st_dev, os.fstat(self.sys).st_dev}
        for path, directory, options, flags in job.mounts:
            self.at = "mount on /" + os.fsdecode(path)
            target = find(self.root, path, directory=directory)
            place = os.fstat(target)
            if place.st_dev in closed or os.path.samestat(place, os.fstat(self.root)):
                self.at += ", where the root, /proc and /sys must stay as they are"
                raise OSError(errno.EPERM, "covers the walls")
            if options is None:
                attach(next(waiting), target)
            else:
                attach(new_mount(b"tmpfs", options, attributes=flags), target)
            os.close(target)


def _write(folder: int, path: bytes, value: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC, dir_fd=folder)
    try:
        with suppress(OSError):
            os.write(descriptor, value)
    finally:
        os.close(descriptor)

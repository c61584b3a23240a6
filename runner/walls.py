"""The file system that a step sees, built in its own mount namespace.

Nothing of the image is trusted: before the root is changed, every place in it is found by descriptor with openat2(2),
and /proc, /sys and /dev must be real directories there, never links. /dev is built before it is attached, and what
masks a file is our own `null`, never the image's. Masked and read-only paths are those container engines agree on.
"""

import errno
import os
import stat
from contextlib import suppress

from runner.job import Job
from runner.linux import (
    CLONE_NEWNET,
    CLONE_NEWUSER,
    MNT_DETACH,
    NODEV,
    NOEXEC,
    NOSUID,
    O_PATH,
    RDONLY,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    attach,
    change_mount,
    copy_mount,
    new_mount,
    open_in,
    pivot_root,
    unmount,
)
from runner.targets import find

STRICT = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS
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
MASKED_PROC = (
    b"acpi",
    b"asound",
    b"interrupts",
    b"kcore",
    b"keys",
    b"latency_stats",
    b"sched_debug",
    b"scsi",
    b"timer_list",
    b"timer_stats",
)
READONLY_PROC = (b"bus", b"fs", b"irq", b"sys", b"sysrq-trigger")
SAFE = NOSUID | NODEV | NOEXEC


class Walls:
    """The root of one step while it is built. `at` names the part that is being worked on, for error reports."""

    def __init__(self, job: Job, root: int) -> None:
        self.job = job
        self.root = root
        self.at = "root"
        self.proc = self.sys = self.dev = self.pts = -1

    def build(self, binds: list[int]) -> None:
        """Mount everything below the root, in an order in which each part stands on trusted ones only."""
        self.at = "root"
        self.old = os.open(b"/", O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        attach(self.root, self.old)
        self._proc()
        self._sys()
        self._dev()
        self._mask()
        self._mounts(binds)
        if self.job.readonly_root or self.job.nodev:
            self.at = "root attributes"
            change_mount(self.root, add=(RDONLY if self.job.readonly_root else 0) | (NODEV if self.job.nodev else 0))

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

    def _proc(self) -> None:
        self.at = "/proc"
        self.proc = new_mount(b"proc", {}, attributes=SAFE)
        attach(self.proc, self._directory(b"proc"))
        if self.job.namespaces & CLONE_NEWNET:
            for name, value in ((b"ip_unprivileged_port_start", b"0"), (b"ping_group_range", b"0 2147483647")):
                with suppress(FileNotFoundError, PermissionError):  # no IPv4, or a group that has no number here
                    self._write(b"sys/net/ipv4/" + name, value)

    def _write(self, path: bytes, value: bytes) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC, dir_fd=self.proc)
        try:
            with suppress(OSError):
                os.write(descriptor, value)
        finally:
            os.close(descriptor)

    def _sys(self) -> None:
        self.at = "/sys"
        target = self._directory(b"sys")
        try:
            sysfs = new_mount(b"sysfs", {}, attributes=SAFE | RDONLY)
        except PermissionError:  # a user namespace that shares the host's network gets the host's view, read-only
            sysfs = copy_mount(self.old, b"sys", recursive=True)
            change_mount(sysfs, add=SAFE | RDONLY, recursive=True)
        self.sys = sysfs
        attach(sysfs, target)
        self.at = "/sys/fs/cgroup"
        if not self.job.cgroup_view:
            return
        try:
            place = open_in(sysfs, b"fs/cgroup", O_PATH | os.O_DIRECTORY, resolve=STRICT)
        except FileNotFoundError:
            return
        if self.job.cgroup_view[0][0]:
            top = new_mount(b"tmpfs", {b"mode": b"755", b"size": b"64k"}, attributes=SAFE)
            for name, _, _ in self.job.cgroup_view:
                os.mkdir(name, 0o755, dir_fd=top)
            attach(top, place)
        else:
            top = place
        for name, kind, options in self.job.cgroup_view:
            view = new_mount(kind, options, attributes=SAFE | RDONLY)
            attach(view, top, name)
        if self.job.cgroup_view[0][0]:
            change_mount(top, add=RDONLY)

    def _dev(self) -> None:
        self.at = "/dev"
        self.dev = new_mount(b"tmpfs", {b"mode": b"755", b"size": b"65536k"}, attributes=NOSUID | NOEXEC)
        for name, major, minor in DEVICES:
            if self.job.namespaces & CLONE_NEWUSER:  # no mknod(2) here, so the host's own nodes are shown
                os.close(os.open(name, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o666, dir_fd=self.dev))
            else:
                os.mknod(name, stat.S_IFCHR | 0o666, os.makedev(major, minor), dir_fd=self.dev)
        for name, text in LINKS:
            os.symlink(text, name, dir_fd=self.dev)
        for name in (b"pts", b"shm", b"mqueue"):
            os.mkdir(name, 0o755, dir_fd=self.dev)
        attach(self.dev, self._directory(b"dev"))
        if self.job.namespaces & CLONE_NEWUSER:
            for name, _, _ in DEVICES:
                attach(copy_mount(self.old, b"dev/" + name), self.dev, name)
        self.at = "/dev/pts"
        options: dict[bytes, bytes | None] = {
            b"newinstance": None,
            b"ptmxmode": b"0666",
            b"mode": b"0620",
            b"gid": b"5",
        }
        self.pts = new_mount(b"devpts", options, attributes=NOSUID | NOEXEC)
        attach(self.pts, self.dev, b"pts")
        self.at = "/dev/shm"
        shm = new_mount(b"tmpfs", {b"mode": b"1777", b"size": b"%d" % self.job.shm_size}, attributes=SAFE)
        attach(shm, self.dev, b"shm")
        self.at = "/dev/mqueue"
        try:
            attach(new_mount(b"mqueue", {}, attributes=SAFE), self.dev, b"mqueue")
        except OSError as problem:
            if problem.errno != errno.ENODEV:  # a kernel built without POSIX message queues
                raise

    def _mask(self) -> None:
        self.at = "masked paths"
        empty = -1
        for top, names in ((self.proc, MASKED_PROC), (self.sys, self.job.masked_sys)):
            for name in names:
                try:
                    target = open_in(top, name, O_PATH, resolve=STRICT)
                except OSError as problem:
                    if problem.errno in (errno.ENOENT, errno.ELOOP):  # not on this kernel; a link masks nothing new
                        continue
                    raise
                if stat.S_ISDIR(os.fstat(target).st_mode):
                    if empty < 0:
                        empty = new_mount(b"tmpfs", {b"mode": b"755", b"nr_inodes": b"1"}, attributes=SAFE | RDONLY)
                        attach(empty, target)
                    else:
                        attach(copy_mount(empty), target)
                else:
                    attach(copy_mount(self.dev, b"null"), target)
                os.close(target)
        self.at = "read-only paths"
        for name in READONLY_PROC:
            with suppress(FileNotFoundError):
                part = copy_mount(self.proc, name, recursive=True)
                change_mount(part, add=RDONLY | SAFE, recursive=True)
                attach(part, self.proc, name)

    def _mounts(self, binds: list[int]) -> None:
        waiting = iter(binds)
        closed = {os.fstat(self.proc).st_dev, os.fstat(self.sys).st_dev}
        for path, directory, options, flags in self.job.mounts:
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

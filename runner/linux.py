"""System calls that Python has no function for.

Thin and typed: every function does one call and raises OSError with the call's name in `filename`. Numbers come from
`runner.syscalls`, so one file serves every machine. Objects are named by descriptor wherever the kernel allows it:
a mount that was never on a path cannot be raced for. Page references: the man pages of the calls, and mount_setattr(2).
"""

import errno
import fcntl
import os
import struct
from _thread import _count

from layers.foreign import Array, addressof, c_char, c_int, c_long, function, get_errno, text
from runner.syscalls import table

_syscall = function("syscall")
_locked = function("syscall", locked=True)  # a cloned child must hold the interpreter's lock
_NUMBERS = table()

AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE = -100, 0x1000, 0x8000
CLONE_NEWTIME, CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS = 0x80, 0x20000, 0x02000000, 0x04000000
CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x08000000, 0x10000000, 0x20000000, 0x40000000
CLONE_PIDFD, CLONE_PARENT, CLONE_INTO_CGROUP = 0x1000, 0x8000, 0x200000000
MS_RDONLY, MS_REC, MS_UNBINDABLE, MS_PRIVATE, MS_SLAVE, MS_SHARED = 1, 0x4000, 1 << 17, 1 << 18, 1 << 19, 1 << 20
MNT_DETACH = 2
RDONLY, NOSUID, NODEV, NOEXEC, MOUNT_ATTR_IDMAP = 1, 2, 4, 8, 0x100000  # MOUNT_ATTR_*
RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_IN_ROOT = 0x02, 0x04, 0x10
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_READ, PR_CAPBSET_DROP = 1, 4, 23, 24
PR_SET_KEEPCAPS, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 8, 38, 47
PR_SET_NAME, PR_SET_SECUREBITS, NO_SETUID_FIXUP = 15, 28, 0x4
O_PATH = 0o10000000

Argument = int | bytes | Array[c_char] | None


def call(name: str, *arguments: Argument) -> int:
    """Make the system call `name`; its result, or OSError."""
    words = [c_long(word) if isinstance(word, int) else word for word in arguments]
    result: int = _syscall(c_long(_NUMBERS[name]), *words)
    if result < 0:
        number = get_errno()
        raise OSError(number, os.strerror(number), name)
    return result


def clone(flags: int, *, into_cgroup: int | None = None) -> tuple[int, int]:
    """clone3(2) as fork(2) would: (0, -1) in the child, (pid, pidfd) in the parent. For single-threaded processes.

    With CLONE_PARENT it is a sibling, not a child.
    """
    pidfd = c_int(-1)
    if into_cgroup is not None:
        flags |= CLONE_INTO_CGROUP
    ends = 0 if flags & CLONE_PARENT else 17  # the signal of its end is its sibling's then, else SIGCHLD
    # struct clone_args: flags pidfd child_tid parent_tid exit_signal stack stack_size tls set_tid set_tid_size cgroup
    order = struct.pack("=11Q", flags | CLONE_PIDFD, addressof(pidfd), 0, 0, ends, 0, 0, 0, 0, 0, into_cgroup or 0)
    pid: int = _locked(c_long(_NUMBERS["clone3"]), order, c_long(len(order)))
    if pid < 0:
        raise OSError(get_errno(), os.strerror(get_errno()), "clone3")
    return pid, pidfd.value


def clone_sibling() -> tuple[int, int]:
    """clone(2) of a child of our own parent, in the PID namespace that was entered: like `clone`.

    The older call, for a system-call filter that is in force already may not know the newer one.
    """
    pidfd = c_int(-1)
    words = [CLONE_PARENT | CLONE_PIDFD, 0, addressof(pidfd), 0, 0]
    pid: int = _locked(c_long(_NUMBERS["clone"]), *map(c_long, words))
    if pid < 0:
        raise OSError(get_errno(), os.strerror(get_errno()), "clone")
    return pid, pidfd.value


def unshare(flags: int) -> None:
    """Give this process new namespaces."""
    call("unshare", flags)


def setns(descriptor: int, kinds: int) -> None:
    """Enter the namespaces `kinds` of a process (a pidfd) or one namespace file."""
    call("setns", descriptor, kinds)


def namespace_kind(descriptor: int) -> int:
    """The CLONE_NEW* flag of a namespace's file; OSError (ENOTTY) for any other file. See ioctl_ns(2)."""
    return fcntl.ioctl(descriptor, 0xB703)


def open_in(root: int, path: bytes, flags: int, *, resolve: int = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS) -> int:
    """openat2(2): open `path` as if the directory `root` were "/". Links stay inside."""
    how = struct.pack("=3Q", flags | os.O_CLOEXEC, 0, resolve)
    while True:
        try:
            return call("openat2", root, path, how, len(how))
        except OSError as problem:
            if problem.errno != errno.EAGAIN:  # somebody renamed along the way; the kernel asks to try again
                raise


def new_mount(kind: bytes, options: dict[bytes, bytes | None], *, attributes: int = 0, readonly: bool = False) -> int:
    """A mount of a new file system of `kind` that is on no path yet, and called so. An option with None is a flag."""
    context = call("fsopen", kind, 1)
    try:
        if readonly:
            call("fsconfig", context, 0, b"ro", None, 0)
        for key, value in {b"source": kind, **options}.items():
            call("fsconfig", context, 0 if value is None else 1, key, value, 0)
        call("fsconfig", context, 6, None, None, 0)
        return call("fsmount", context, 1, attributes)
    finally:
        os.close(context)


def copy_mount(directory: int, path: bytes = b"", *, recursive: bool = False) -> int:
    """A detached copy of the mount at `path` seen from `directory`: what a bind mount attaches."""
    flags = 1 | os.O_CLOEXEC | AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    return call("open_tree", directory, path, flags)


def attach(mount: int, target: int, path: bytes = b"") -> None:
    """Put a detached mount on a directory or file."""
    call("move_mount", mount, b"", target, path, 0x4 | (0x40 if not path else 0))


def change_mount(
    mount: int, *, add: int = 0, clear: int = 0, propagation: int = 0, private: bool = False, recursive: bool = False
) -> None:
    """Add and clear attributes (RDONLY, NOSUID, NODEV, NOEXEC …) of a mount; `private` cuts it from its peers."""
    _set_attributes(mount, (add, clear, MS_PRIVATE if private else propagation, 0), recursive=recursive)


def map_owners(mount: int, users: int, *, recursive: bool = False) -> None:
    """Show the owners of a mount's files as the user namespace `users` (a descriptor) maps them."""
    _set_attributes(mount, (MOUNT_ATTR_IDMAP, 0, 0, users), recursive=recursive)


def _set_attributes(mount: int, words: tuple[int, int, int, int], *, recursive: bool) -> None:
    how = struct.pack("=4Q", *words)
    call("mount_setattr", mount, b"", AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0), how, len(how))


def mount(source: bytes | None, target: bytes, kind: bytes | None, flags: int, data: bytes | None = None) -> None:
    """The old mount(2)."""
    call("mount", source, target, kind, flags, data)


def unmount(target: bytes, flags: int = 0) -> None:
    """umount2(2)."""
    call("umount2", target, flags)


def pivot_root() -> None:
    """Make the current directory the root and stack the old root on top of it."""
    call("pivot_root", b".", b".")


def set_hostname(name: bytes) -> None:
    """sethostname(2)."""
    call("sethostname", name, len(name))


def set_domainname(name: bytes) -> None:
    """setdomainname(2)."""
    call("setdomainname", name, len(name))


def filesystem(descriptor: int) -> int:
    """The magic number of the file system that an open file lies on; see statfs(2)."""
    answer = text(120)
    call("fstatfs", descriptor, answer)
    return int(struct.unpack_from("@l", answer.raw)[0])


def control(option: int, *arguments: int) -> int:
    """prctl(2)."""
    return call("prctl", option, *(*arguments, 0, 0, 0, 0)[:4])


def has_threads() -> bool:
    """Whether this process has other threads. Python counts those of a parent, too, after a fork."""
    return bool(_count()) and len(os.listdir("/proc/self/task")) > 1


def make_files_as(uid: int, gid: int) -> None:
    """Let what this thread makes belong to others, its rights unchanged; they may be the only ones a mount knows."""
    control(PR_SET_SECUREBITS, NO_SETUID_FIXUP)
    call("setfsgid", gid)
    call("setfsuid", uid)


def rewrite(start: int, end: int, text: bytes) -> None:
    """Name this thread, and write over our own arguments, which lie from `start` to `end`."""
    call("prctl", PR_SET_NAME, text[:15], 0, 0, 0)
    if end > start > 0:
        (c_char * (end - start)).from_address(start).raw = text[: end - start - 1].ljust(end - start, b"\0")


def keep_bounding(mask: int) -> None:
    """Drop all capabilities but those of `mask` from the bounding set: nobody below us can have them again."""
    for bit in range(64):
        if not mask >> bit & 1:
            try:
                if control(PR_CAPBSET_READ, bit):
                    control(PR_CAPBSET_DROP, bit)
            except OSError as problem:
                if problem.errno == errno.EINVAL:  # past the last one that this kernel knows
                    break
                raise


def set_capabilities(mask: int, permitted: int | None = None, inheritable: int = 0) -> None:
    """Make `mask` the effective and, unless it is told, the permitted set; nothing is ambient."""
    if permitted is None:
        permitted = mask
    low, high = ([word >> shift & 0xFFFFFFFF for word in (mask, permitted, inheritable)] for shift in (0, 32))
    header = struct.pack("=Ii", 0x20080522, 0)
    call("capset", header, struct.pack("=6I", *low, *high))
    try:
        control(PR_CAP_AMBIENT, 4)
    except OSError as problem:
        if problem.errno != errno.EINVAL:  # a kernel without ambient capabilities has none to clear
            raise


def install_filter(program: bytes) -> None:
    """seccomp(2): from now on every system call passes `program` (an array of struct sock_filter)."""
    code = text(program)
    call("seccomp", 1, 0, struct.pack("@HP", len(program) // 8, addressof(code)))


def close_from(first: int) -> None:
    """Close every descriptor from `first` on."""
    call("close_range", first, 0xFFFFFFFF, 0)


def new_session_keyring() -> None:
    """Leave the caller's session keyring, if this kernel and our surroundings have keyrings at all."""
    try:
        call("keyctl", 1, None)
    except OSError as problem:
        if problem.errno not in (errno.ENOSYS, errno.EPERM, errno.EACCES):
            raise

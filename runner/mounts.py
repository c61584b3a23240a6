"""Mounts of this process: a private namespace for them, and overlays.

`enter` is called once, before threads start: from then on no mount of ours is seen by the host, and the kernel takes
all of them away with the process, even after SIGKILL. `overlay` prefers the mount API by descriptor (no limit on the
length of paths) and falls back to mount(2) with short names. Options that make an overlay's upper directory depend
on its lowers (redirect_dir, metacopy, index, xino) are always off: the upper directory must be readable on its own.
"""

import errno
import os
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from runner import linux
from runner.errors import SandboxUnavailable
from runner.linux import (
    AT_FDCWD,
    CLONE_NEWNS,
    MS_REC,
    MS_SLAVE,
    NODEV,
    NOEXEC,
    NOSUID,
    O_PATH,
    RDONLY,
    attach,
    call,
    change_mount,
    copy_mount,
    mount,
    new_mount,
    unshare,
)
from runner.loops import attach as attach_loop

MOST_LOWERS = 500  # OVL_MAX_STACK of the kernel
SWITCHES = {b"redirect_dir": b"off", b"metacopy": b"off", b"index": b"off", b"xino": b"off"}
_entered: set[int] = set()


def enter() -> None:
    """Give this process a private mount namespace, once.

    Raises SandboxUnavailable without the right to, or with threads.
    """
    if os.getpid() in _entered:
        return
    if threading.active_count() > 1:
        raise SandboxUnavailable(
            "a mount namespace of its own must be entered before threads start", "call enter() first"
        )
    try:
        unshare(CLONE_NEWNS)
        mount(None, b"/", None, MS_REC | MS_SLAVE)
    except PermissionError as problem:
        raise SandboxUnavailable(
            "this process may not make a mount namespace", "run as root, or with CAP_SYS_ADMIN"
        ) from problem
    _entered.add(os.getpid())


def overlay(
    lowers: Sequence[Path], target: Path, *, upper: Path | None = None, work: Path | None = None, volatile: bool = False
) -> None:
    """Mount `lowers` (topmost first) at `target`, writable if `upper` and `work` are given.

    `volatile` leaves out every sync: the upper directory is then good for this mount only, and must be synced by its
    reader. Raises OSError; in particular if the kernel would give a read-only overlay where
    a writable one was wanted.
    """
    if not 1 <= len(lowers) <= MOST_LOWERS:
        raise OSError(errno.EINVAL, f"an overlay has 1 to {MOST_LOWERS} lower directories, not {len(lowers)}")
    if upper is None and len(lowers) == 1:  # nothing to lay over anything; but a view must not be writable
        _bind(lowers[0], target)
        return
    try:
        _by_descriptor(lowers, upper, work, target, volatile)
    except OSError as problem:
        if problem.errno not in (errno.EINVAL, errno.ENOSYS):
            raise
        _by_names(lowers, upper, work, target, volatile)
    if upper is not None and os.statvfs(target).f_flag & os.ST_RDONLY:
        unmount(target)
        raise OSError(errno.EROFS, "the kernel gave a read-only overlay; see its log for the reason", str(target))


def image(index: Path, data: Sequence[Path], target: Path, *, loops: bool = False) -> None:
    """Mount an EROFS image that lies in a file, read-only; `data` are its further devices, files too.

    Linux mounts it from files since 6.12; with `loops` it gets loop devices, which are gone when the mount is.
    Raises OSError: ENOTBLK where the kernel, or the file system below, wants block devices.
    """
    with ExitStack() as opened:
        context = call("fsopen", b"erofs", 1)
        opened.callback(os.close, context)
        call("fsconfig", context, 0, b"ro", None, 0)  # else a device would be opened for writing
        folders: dict[Path, int] = {}
        for path in (index, *data):
            if loops:
                with open(path, "rb") as file:
                    name = b"/proc/self/fd/%d" % attach_loop(file.fileno(), opened)
            else:  # a value has less than 256 bytes
                if path.parent not in folders:
                    folders[path.parent] = os.open(path.parent, O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                    opened.callback(os.close, folders[path.parent])
                name = b"/proc/self/fd/%d/%b" % (folders[path.parent], os.fsencode(path.name))
            call("fsconfig", context, 1, b"source" if path is index else b"device", name, 0)
        call("fsconfig", context, 6, None, None, 0)
        made = call("fsmount", context, 1, RDONLY)
        opened.callback(os.close, made)
        attach(made, AT_FDCWD, os.fsencode(target))


def memory(target: Path) -> None:
    """Mount a small file system in memory, for our eyes only; never swapped out, where the kernel can promise it.

    Raises SandboxUnavailable before `enter`, as the host would see it.
    """
    if os.getpid() not in _entered:
        raise SandboxUnavailable(
            "a mount for this process alone needs a mount namespace of its own", "call enter() first"
        )
    options: dict[bytes, bytes | None] = {b"mode": b"700", b"size": b"64m"}
    try:
        made = new_mount(b"tmpfs", {**options, b"noswap": None}, attributes=NOSUID | NODEV | NOEXEC)
    except OSError as problem:
        if problem.errno not in (errno.EINVAL, errno.EPERM):  # before Linux 6.4
            raise
        made = new_mount(b"tmpfs", options, attributes=NOSUID | NODEV | NOEXEC)
    try:
        attach(made, AT_FDCWD, os.fsencode(target))
    finally:
        os.close(made)


def unmount(target: Path) -> None:
    """Take the topmost mount at `target` away; what still uses it keeps it until it lets go. Raises OSError."""
    linux.unmount(os.fsencode(target), linux.MNT_DETACH)


def _bind(source: Path, target: Path) -> None:
    """A read-only view of one directory."""
    view = copy_mount(AT_FDCWD, os.fsencode(source))
    try:
        change_mount(view, add=RDONLY)
        attach(view, AT_FDCWD, os.fsencode(target))
    finally:
        os.close(view)


def _by_descriptor(lowers: Sequence[Path], upper: Path | None, work: Path | None, target: Path, volatile: bool) -> None:
    """One fsconfig(2) a directory: no limit on the length of all paths together (Linux 6.8)."""
    with ExitStack() as opened:

        def name(path: Path) -> bytes:
            text = os.fsencode(path)
            # One value has less than 256 bytes, and overlayfs takes a backslash for an escape in some of them.
            return text if len(text) < 256 and b"\\" not in text else _short(path, opened)

        options: list[tuple[bytes, bytes | None]] = [(b"lowerdir+", name(lower)) for lower in lowers]
        options += SWITCHES.items()
        if upper is not None and work is not None:
            options += [(b"upperdir", name(upper)), (b"workdir", name(work))]
        if volatile:
            options.append((b"volatile", None))
        context = call("fsopen", b"overlay", 1)
        opened.callback(os.close, context)
        for key, value in options:
            call("fsconfig", context, 0 if value is None else 1, key, value, 0)
        call("fsconfig", context, 6, None, None, 0)
        made = call("fsmount", context, 1, 0)
        opened.callback(os.close, made)
        attach(made, AT_FDCWD, os.fsencode(target))


def _by_names(lowers: Sequence[Path], upper: Path | None, work: Path | None, target: Path, volatile: bool) -> None:
    """mount(2), whose options fill one page: descriptors make the paths short."""
    with ExitStack() as opened:
        options = [(b"lowerdir", b":".join(_short(lower, opened) for lower in lowers))]
        if upper is not None and work is not None:
            options += [(b"upperdir", _short(upper, opened)), (b"workdir", _short(work, opened))]
        text = b",".join(key + b"=" + value for key, value in [*options, *SWITCHES.items()])
        text += b",volatile" if volatile else b""
        mount(b"overlay", os.fsencode(target), b"overlay", 0, text)


def _short(path: Path, opened: ExitStack) -> bytes:
    """A name of a directory that is short and plain for as long as `opened` is."""
    descriptor = os.open(path, O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    opened.callback(os.close, descriptor)
    return b"/proc/self/fd/%d" % descriptor

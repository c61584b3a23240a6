"""Mounts of this process: a private namespace for them, and overlays.

`enter` is called once, before threads start: from then on no mount of ours is seen by the host, and the kernel takes all of
them away with the process, even after SIGKILL. `overlay` prefers the mount API by descriptor (no limit on the length of
paths) and falls back to mount(2) with short relative names. Options that make an overlay's upper directory depend
on its lowers (redirect_dir, metacopy, index, xino) are always off: the upper directory must be readable on its own.
"""

import errno
import os
import threading
from collections.abc import Sequence
from pathlib import Path

from runner.errors import SandboxUnavailable
from runner.linux import (
    AT_FDCWD,
    CLONE_NEWNS,
    MNT_DETACH,
    MS_REC,
    MS_SLAVE,
    O_PATH,
    attach,
    call,
    mount,
    new_mount,
    unshare,
)

MOST_LOWERS = 500  # OVL_MAX_STACK of the kernel
_entered: set[int] = set()


def enter() -> None:
    """Give this process a private mount namespace, once. Raises SandboxUnavailable without the right to, or with threads."""
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
    reader. Raises OSError; in particular if the kernel would give a read-only overlay where a writable one was wanted.
    """
    if not 1 <= len(lowers) <= MOST_LOWERS:
        raise OSError(errno.EINVAL, f"an overlay has 1 to {MOST_LOWERS} lower directories, not {len(lowers)}")
    switches = {b"redirect_dir": b"off", b"metacopy": b"off", b"index": b"off", b"xino": b"off"}
    if upper is None and len(lowers) == 1:  # nothing to lay over anything; but a view must not be writable
        lowers = [*lowers, lowers[0]]
    try:
        _by_descriptor(lowers, target, upper, work, switches, volatile)
    except OSError as problem:
        if problem.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOPARAM if hasattr(errno, "ENOPARAM") else -1):
            raise
        _by_names(lowers, target, upper, work, switches, volatile)
    if upper is not None and os.statvfs(target).f_flag & os.ST_RDONLY:
        unmount(target)
        raise OSError(errno.EROFS, "the kernel gave a read-only overlay; see its log for the reason", str(target))

"""A mount namespace of this process's own: what it mounts nobody else sees, and goes with it, even after SIGKILL."""

import os

from runner.errors import SandboxUnavailable
from runner.linux import CLONE_NEWNS, MS_REC, MS_SLAVE, has_threads, mount, unshare

_entered: set[int] = set()


def enter() -> None:
    """Enter it, once; before threads start.

    Raises SandboxUnavailable without the right to, or with threads.
    """
    if entered():
        return
    if has_threads():
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


def entered() -> bool:
    """Whether this process, not one that forked it, has done so."""
    return os.getpid() in _entered

"""What has to happen before the first thread and is best done before all else: rights, mounts, the spawner's process.

The spawner gets ready on another processor while this one loads what the command is made of; if nothing is to be run
after all, it ends with us.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from runner.launch import Launched

COURSE = ("runner.private", "runner.errors", "runner.launch")
INSIDE = "PYBUILD_ROOTLESS_UID"
"""Set where a process of ours is inside already (`runner.rootless`), and has to be found there."""
_launched: Launched | None = None


def has_to_enter() -> bool:
    """Whether we are root in a user namespace only, or have to be."""
    return bool(os.geteuid()) or INSIDE in os.environ


def be_root() -> None:
    """Be root, if only in a user namespace, so that files of everybody in images can be kept and removed.

    Raises SandboxUnavailable.
    """
    if has_to_enter():
        from runner import rootless

        rootless.enter()


def begin() -> None:
    """Be root, have mounts of our own, start the spawner's process; once. Raises SandboxUnavailable."""
    global _launched  # noqa: PLW0603 (the one thing that must exist before everything else)
    if _launched is not None:
        return
    be_root()
    from runner import private
    from runner.errors import SandboxUnavailable
    from runner.launch import launch

    private.enter()
    try:
        _launched = launch("runner.zygote")
    except SandboxUnavailable:  # said again, and aloud, when something is to be run
        pass


def begun() -> Launched | None:
    """The process that was started."""
    return _launched

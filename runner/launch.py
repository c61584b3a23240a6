"""Starts the spawner: a small process, made by exec, that makes the steps (`runner.zygote`).

Exec and not fork: a threaded interpreter cannot be forked safely, a small one clones faster, and only so can its
executable be a read-only mount of its own, which a hostile image that runs "/proc/self/exe" cannot write through. It
is started without waiting for it: it gets ready on another processor while its maker loads all the rest, so this is
done first and stands on little.
"""

import fcntl
import os
import sys

from runner.errors import SandboxUnavailable
from runner.linux import AT_FDCWD, RDONLY, change_mount, copy_mount
from runner.sockets import Socket

CHANNEL = 3
"""Where the process finds its socket."""
_BOOT = """
import gc, sys
gc.disable()
sys.path.insert(0, sys.argv[1])
from layers.compiled import hasten, lead
lead()
hasten("{0}")
from {0} import serve
serve()
"""
_HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Launched:
    """The process that has begun: our end of its channel, its number, the mount that it was executed from.

    That is kept open: the kernel makes whoever lets go of it wait.
    """

    def __init__(self, channel: Socket, pid: int, program: int) -> None:
        self.channel, self.pid, self.program = channel, pid, program


def launch(module: str, program: int = -1) -> Launched:
    """Start a process that runs `serve` of a module. `program` is that of one that has gone, if there was one.

    Raises SandboxUnavailable.
    """
    if program < 0:
        program = _sealed()
    ours, theirs = Socket.pair()
    with theirs:
        return Launched(ours, _execute(program, theirs.fileno(), module), program)


def _sealed() -> int:
    """Our interpreter on a read-only mount of its own. Raises SandboxUnavailable."""
    try:
        # By its path: /proc/self/exe lies on a mount of the namespace that this process has left.
        sealed = copy_mount(AT_FDCWD, os.fsencode(os.path.realpath(sys.executable)))
        change_mount(sealed, add=RDONLY)
        sealed, low = fcntl.fcntl(sealed, fcntl.F_DUPFD_CLOEXEC, 10), sealed  # out of the way of CHANNEL
        os.close(low)
    except OSError as problem:
        raise SandboxUnavailable(
            f"this process may not make mounts ({problem.strerror})", "run as root, or with CAP_SYS_ADMIN"
        ) from problem
    return sealed


def _execute(program: int, channel: int, module: str) -> int:
    """Exec our interpreter, with `channel` and nothing else of ours."""
    actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_DUP2, channel, CHANNEL),
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
    ]
    try:
        os.fstat(2)
    except OSError:
        actions.append((os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0))
    python = os.path.realpath(sys.executable)
    arguments = [python, "-I", "-S", "-X", "utf8", "-c", _BOOT.format(module), _HOME]
    return os.posix_spawn(f"/proc/self/fd/{program}", arguments, {}, file_actions=actions, setsid=True)

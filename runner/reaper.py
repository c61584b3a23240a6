"""A PID 1 for commands that are not made to be one: it starts the command, passes signals on, and reaps orphans.

It runs with everything already sealed (root, credentials, filter) and imports nothing: what can be loaded now
would come from the image.
"""

import os

from runner.linux import rewrite
from runner.suppress import suppress

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal  # the same without enumerations

_PASSED = frozenset(range(1, 65)) - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, 32, 33}


TITLE = b"pybuild-init"


def split(held: int) -> None:
    """Return in the child that shall be the command; the parent stays here as PID 1 and never returns.

    `held` is a descriptor that only the child may keep.
    """
    watched = _PASSED | {signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.setpgid(0, 0)
        if os.isatty(0):
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            os.tcsetpgrp(0, os.getpid())
            signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        return
    os.close(held)
    retitle(TITLE)
    while True:
        number = signal.sigwait(watched)
        if number != signal.SIGCHLD:
            try:
                os.kill(child, number)
            except (ProcessLookupError, PermissionError):
                continue  # it has just ended, or has become another user; then the signal is not ours to give
        while True:
            try:
                ended, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if ended == 0:
                break
            if ended == child:
                code = os.waitstatus_to_exitcode(status)
                os._exit(code if code >= 0 else 128 - code)


def retitle(text: bytes) -> None:
    """What ps(1) shows of us, instead of where the host has its Python."""
    with suppress(OSError):
        here = os.open(b"/proc/self/stat", os.O_RDONLY | os.O_CLOEXEC)
        words = os.read(here, 4096).rpartition(b")")[2].split()
        os.close(here)
        rewrite(int(words[45]), int(words[46]), text)  # arg_start and arg_end of proc(5)

"""Work that is left to a process of its own while whoever waits for us gets on."""

from __future__ import annotations

import os
from itertools import pairwise

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Sequence
else:
    import _signal as signal  # the same without enumerations


def fork() -> int:
    """As os.fork; our other threads only wait for input, and the child has none."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def part() -> None:
    """From now on nothing of a shell, a terminal or a directory is ours."""
    os.setsid()
    os.chdir("/")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nothing, descriptor)
    os.close(nothing)


def forked() -> int | None:
    """In the child, a descriptor; in its parent None, as soon as the child has closed that, or ended.

    So who waits for the parent, a terminal for example, cannot end what the child has not yet parted from.
    """
    told, tell = os.pipe()
    if not fork():
        os.close(told)
        return tell
    os.close(tell)
    os.read(told, 1)
    os.close(told)
    return None


def leave(work: Callable[[], object], kept: Sequence[int]) -> None:
    """Do `work` in a child that has nothing of ours open but the descriptors of `kept`; returns when that is so.

    Neither locks nor mounts nor pipes of ours stay with it, and signals end it.
    """
    if forked() is None:
        return
    try:
        for number in range(1, signal.NSIG):
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        part()
        for below, above in pairwise([2, *sorted(kept), os.sysconf("SC_OPEN_MAX")]):
            os.closerange(below + 1, above)
        work()
    finally:
        os._exit(0)

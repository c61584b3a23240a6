"""Waiting for what happens beside other work."""

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

Thing = TypeVar("Thing")


def soon(check: Callable[[], object], *, seconds: float = 60) -> bool:
    """Whether something becomes true within so many seconds."""
    until = time.monotonic() + seconds
    while not (found := check()) and time.monotonic() < until:
        time.sleep(0.001)
    return bool(found)


def settled(look: Callable[[], Thing]) -> Thing:
    """What is seen once it is the same for a third of a second."""
    seen: list[Thing] = [look()]

    def again() -> bool:
        time.sleep(0.3)
        seen.append(look())
        return seen[-1] == seen[-2]

    assert soon(again), "it never stands still"
    return seen[-1]


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal by now (proc_pid_status(5), SigCgt)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False


def in_front(pid: int, name: str) -> bool:
    """Whether a process has a descendant of this name that a terminal serves (proc_pid_stat(5), pgrp and tpgid)."""
    with suppress(OSError):  # it may end while it is looked at
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            called, _, rest = Path(f"/proc/{child}/stat").read_text().partition("(")[2].rpartition(")")
            fields = rest.split()
            if (called == name and fields[2] == fields[5]) or in_front(int(child), name):
                return True
    return False

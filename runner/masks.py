"""Which paths of /proc and /sys a sandbox does not see, and which it can only read: as container engines agree."""

import os
from collections.abc import Iterable
from functools import cache

MASKED = (
    *(
        f"/proc/{name}"
        for name in "acpi asound interrupts kcore keys latency_stats sched_debug scsi timer_list timer_stats".split()
    ),
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
PROCESSORS = "/sys/devices/system/cpu"
THERMAL = "thermal_throttle"
"""Masked as well, below each processor that has it."""
READONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
EVERYTHING = "ALL"
KERNEL = (b"proc/", b"sys/")
"""Whose file systems are the kernel's in every sandbox, whatever its root."""


@cache
def masked() -> tuple[str, ...]:
    """The default of this machine."""
    try:
        processors = sorted(name for name in os.listdir(PROCESSORS) if name.startswith("cpu"))
    except FileNotFoundError:
        processors = []
    return (*MASKED, *filter(os.path.exists, (f"{PROCESSORS}/{name}/{THERMAL}" for name in processors)))


@cache
def chosen(mask: tuple[str, ...] = (), unmask: tuple[str, ...] = ()) -> tuple[list[bytes], list[bytes]]:
    """What is masked and what is read-only, as names below the root.

    `mask` are paths to be masked besides; `unmask` patterns of paths that shall be as they are, or ALL.
    """
    hidden = [*_kept(masked(), unmask), *mask]
    return ([path.lstrip("/").encode() for path in hidden], [path[1:].encode() for path in _kept(READONLY, unmask)])


def _kept(paths: Iterable[str], unmask: tuple[str, ...]) -> list[str]:
    if not unmask:
        return [*paths]
    from fnmatch import fnmatchcase

    return [path for path in paths if not any(one == EVERYTHING or fnmatchcase(path, one) for one in unmask)]

"""Ceilings for one sandbox, and what it really used.

Both are plain numbers in the kernel's units (bytes, seconds, processes), so that they can be kept
with a step and compared later; turning "512m" into bytes is the command line's business.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Ceilings of one sandbox; None means "no ceiling of ours".

    memory: bytes of memory. memory_swap: bytes of memory plus swap together, -1 for unlimited swap; None with a
    memory limit means twice the memory, as docker has it. memory_reservation: bytes, a soft limit. cpus: how many
    processors' worth of time (1.5). cpu_shares: weight against others, 1024 is normal. cpuset_cpus, cpuset_mems:
    lists such as "0-2,4". pids: tasks at the same time. seconds: wall-clock time until the command is stopped.
    """

    memory: int | None = None
    memory_swap: int | None = None
    memory_reservation: int | None = None
    cpus: float | None = None
    cpu_shares: int | None = None
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    pids: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for name in ("memory", "memory_reservation", "cpus", "cpu_shares", "pids", "seconds"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"the limit {name} must be greater than zero, not {value}")
        if self.memory_swap is not None and self.memory_swap != -1:
            if self.memory is None:
                raise ValueError("a limit on memory_swap needs a limit on memory too: it counts both together")
            if self.memory_swap < self.memory:
                raise ValueError("memory_swap counts memory and swap together, so it cannot be less than memory")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a sandbox used, all its processes together; None where this kernel does not count it.

    Times are in seconds, memory_peak in bytes (page cache included), pids_peak in tasks.
    """

    wall_seconds: float = 0.0
    user_seconds: float = 0.0
    system_seconds: float = 0.0
    memory_peak: int | None = None
    pids_peak: int | None = None
    oom_kills: int = 0

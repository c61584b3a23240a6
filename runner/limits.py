"""Ceilings for one sandbox, and what it really used.

Both are plain numbers in the kernel's units (bytes, seconds, processes), so that they can be kept
with a step and compared later; turning "512m" into bytes is the command line's business.
"""

from __future__ import annotations

from collections.abc import Mapping

from layers.quick import dataclass, fields

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from typing import Any, Literal, Self

POSITIVE = (
    "memory memory_reservation memory_high cpus cpu_shares cpu_quota cpu_period pids seconds blkio_weight net_classid"
).split()
RANGES: Mapping[str, tuple[int, int]] = {  # as docker has them
    "memory_swappiness": (0, 100),
    "oom_score_adj": (-1000, 1000),
    "blkio_weight": (10, 1000),
    "cpu_shares": (2, 262_144),
    "cpu_period": (1000, 1_000_000),
    "cpu_quota": (1000, 2**63 - 1),
    "net_classid": (1, 2**32 - 1),
}
RATES = ("rbps", "wbps", "riops", "wiops")
"""Bytes read and written a second, operations read and written a second: the words of io.max."""


@dataclass(frozen=True)
class Limits:
    """Ceilings of one sandbox; None means "no ceiling of ours".

    memory: bytes of memory. memory_swap: bytes of memory plus swap together, -1 for unlimited swap; None with a
    memory limit means twice the memory, as docker has it. memory_reservation: bytes, a soft limit. memory_high: bytes
    above which it is slowed down (version 2). memory_swappiness: 0 to 100 (version 1). oom_kill_disable: who wants more
    memory than there is waits instead of being killed (version 1). oom_policy: "freeze" stops everybody when memory
    runs out, until the limit is raised (`runner.pressure`). oom_score_adj: how gladly the kernel kills it when the host
    runs out. cpus: how many processors' worth of time (1.5); or cpu_quota of each cpu_period, in microseconds.
    cpu_shares: weight against others, 1024 is normal. cpuset_cpus, cpuset_mems: lists such as "0-2,4". pids: tasks at
    the same time. seconds: wall-clock time until the command is stopped. blkio_weight: share of the disks, 10 to 1000;
    blkio_weight_devices: (device, weight). device_rates: (one of RATES, device, number); a device is "major:minor".
    net_classid: the mark of its packets (version 1). ulimits: (name, soft, hard), see `runner.ulimits`.
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
    memory_high: int | None = None
    memory_swappiness: int | None = None
    oom_kill_disable: bool = False
    oom_policy: Literal["kill", "freeze"] = "kill"
    oom_score_adj: int | None = None
    cpu_quota: int | None = None
    cpu_period: int | None = None
    blkio_weight: int | None = None
    blkio_weight_devices: tuple[tuple[str, int], ...] = ()
    device_rates: tuple[tuple[str, str, int], ...] = ()
    net_classid: int | None = None
    ulimits: tuple[tuple[str, int, int], ...] = ()

    @property
    def are_set(self) -> bool:
        """Whether there is any."""
        return any(getattr(self, one.name) != one.default for one in fields(self))

    def __post_init__(self) -> None:
        for name in POSITIVE:
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"the limit {name} must be greater than zero, not {value}")
        for name, (least, most) in RANGES.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise ValueError(f"the limit {name} is between {least} and {most}, not {value}")
        for device, value in self.blkio_weight_devices:
            if not 10 <= value <= 1000:
                raise ValueError(f"the weight of the device {device} is between 10 and 1000, not {value}")
        self._memory()
        if self.cpus is not None and (self.cpu_quota is not None or self.cpu_period is not None):
            raise ValueError("cpus is a quota of its own: leave out either cpus, or cpu_quota and cpu_period")

    def _memory(self) -> None:
        if self.memory_swap is not None and self.memory_swap != -1:
            if self.memory is None:
                raise ValueError("a limit on memory_swap needs a limit on memory too: it counts both together")
            if self.memory_swap < self.memory:
                raise ValueError("memory_swap counts memory and swap together, so it cannot be less than memory")
        if self.memory is None:
            if self.oom_kill_disable:
                raise ValueError("oom_kill_disable needs a limit on memory: without one the whole host would hang")
            if self.oom_policy == "freeze":
                raise ValueError("oom_policy freeze needs a limit on memory")
        else:
            for name in ("memory_reservation", "memory_high"):
                if (value := getattr(self, name)) is not None and value > self.memory:
                    raise ValueError(f"{name} is a softer limit than memory, so it cannot be more")

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> Self:
        """From JSON, where tuples are lists."""
        return cls(**{name: _tuples(word) for name, word in value.items()})


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


@dataclass(frozen=True)
class Usage:
    """What a sandbox used, all its processes together; None where this kernel does not count it.

    Times are in seconds, memory_peak in bytes (page cache included), pids_peak in tasks; read_bytes were fetched from
    disks, written_bytes are for them.
    """

    wall_seconds: float = 0.0
    user_seconds: float = 0.0
    system_seconds: float = 0.0
    memory_peak: int | None = None
    pids_peak: int | None = None
    oom_kills: int = 0
    read_bytes: int | None = None
    written_bytes: int | None = None

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> Self:
        """From JSON; what this version does not know is left out."""
        return cls(**{field.name: value[field.name] for field in fields(cls) if field.name in value})

    @property
    def cpu_seconds(self) -> float:
        """Processor time, in programs and in the kernel."""
        return self.user_seconds + self.system_seconds

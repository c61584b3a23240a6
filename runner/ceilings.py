"""Limits in the words of each cgroup version: which file gets which text."""

from collections.abc import Iterator

from layers.quick import dataclass
from runner.limits import Limits

CPU_PERIOD = 100_000  # microseconds
UNLIMITED = 1 << 62
"""More bytes than any limit; version 1 writes "none" as the largest multiple of a page."""


@dataclass(frozen=True)
class Setting:
    """One line to write.

    `asked` is False for a default of ours that may fail quietly. `instead` is written where `file` is not there.
    `never` says why no file can be: this version of the controller has nothing like it.
    """

    limit: str
    controller: str
    file: str
    value: str
    asked: bool = True
    instead: tuple[str, str] | None = None
    never: str = ""


def weight(shares: int) -> int:
    """cpu.shares (2 to 262144, normal 1024) as a version-2 cpu.weight (1 to 10000, normal 100)."""
    import math

    logarithm = math.log2(min(max(shares, 2), 262144))
    return min(max(math.ceil(10 ** ((logarithm**2 + 125 * logarithm) / 612 - 7 / 34)), 1), 10000)


def disk_weight(weight: int) -> int:
    """blkio.weight (10 to 1000) as a version-2 io.weight (1 to 10000)."""
    return 1 + (weight - 10) * 9999 // 990


def swap_total(limits: Limits) -> int | None:
    """Memory and swap together, in bytes: what was asked, or docker's default of twice the memory."""
    if limits.memory_swap is not None:
        return limits.memory_swap
    return None if limits.memory is None else 2 * limits.memory


def watermark(memory: int) -> int:
    """Where version 2 tells that memory runs out, with the rest of it left to stop everybody in."""
    return memory - max(min(memory // 8, 64 << 20), min(memory // 2, 4 << 20))


def _quota(cpus: float) -> int:
    return max(int(cpus * CPU_PERIOD), 1000)  # the kernel takes no less than a millisecond


def legacy(limits: Limits) -> Iterator[Setting]:
    """For version 1, in an order that the kernel accepts."""
    if limits.memory is not None:
        yield Setting("memory", "memory", "memory.limit_in_bytes", str(limits.memory))
    total = swap_total(limits)
    if total is not None:
        yield Setting(
            "memory_swap", "memory", "memory.memsw.limit_in_bytes", str(total), limits.memory_swap is not None
        )
    if limits.memory_reservation is not None:
        yield Setting("memory_reservation", "memory", "memory.soft_limit_in_bytes", str(limits.memory_reservation))
    if limits.memory_high is not None:
        never = "is of version 1 here and slows nobody down"
        yield Setting("memory_high", "memory", "memory.high", str(limits.memory_high), never=never)
    if limits.memory_swappiness is not None:
        yield Setting("memory_swappiness", "memory", "memory.swappiness", str(limits.memory_swappiness))
    if limits.oom_kill_disable or limits.oom_policy == "freeze":
        name = "oom_kill_disable" if limits.oom_kill_disable else "oom_policy"
        yield Setting(name, "memory", "memory.oom_control", "1")
    if limits.cpus is not None or limits.cpu_period is not None:
        name = "cpus" if limits.cpus is not None else "cpu_period"
        yield Setting(name, "cpu", "cpu.cfs_period_us", str(limits.cpu_period or CPU_PERIOD))
    if limits.cpus is not None:
        yield Setting("cpus", "cpu", "cpu.cfs_quota_us", str(_quota(limits.cpus)))
    elif limits.cpu_quota is not None:
        yield Setting("cpu_quota", "cpu", "cpu.cfs_quota_us", str(limits.cpu_quota))
    if limits.cpu_shares is not None:
        yield Setting("cpu_shares", "cpu", "cpu.shares", str(limits.cpu_shares))
    if (share := limits.blkio_weight) is not None:
        yield Setting("blkio_weight", "blkio", "blkio.bfq.weight", str(share), instead=("blkio.weight", str(share)))
    for device, share in limits.blkio_weight_devices:
        line = f"{device} {share}"
        instead = ("blkio.weight_device", line)
        yield Setting("blkio_weight_device", "blkio", "blkio.bfq.weight_device", line, instead=instead)
    for rate, device, number in limits.device_rates:
        way, what = ("read" if rate[0] == "r" else "write"), rate[1:]
        yield Setting(f"device_{way}_{what}", "blkio", f"blkio.throttle.{way}_{what}_device", f"{device} {number}")
    if limits.net_classid is not None:
        yield Setting("net_classid", "net_cls", "net_cls.classid", str(limits.net_classid))
    yield from _common(limits)


def unified(limits: Limits) -> Iterator[Setting]:
    """For version 2."""
    if limits.memory is not None:
        yield Setting("memory", "memory", "memory.max", str(limits.memory))
    total = swap_total(limits)
    if total is not None:
        swap = "max" if total == -1 or limits.memory is None else str(total - limits.memory)
        yield Setting("memory_swap", "memory", "memory.swap.max", swap, limits.memory_swap is not None)
    if limits.memory_reservation is not None:
        yield Setting("memory_reservation", "memory", "memory.low", str(limits.memory_reservation))
    if limits.memory_high is not None:
        yield Setting("memory_high", "memory", "memory.high", str(limits.memory_high))
    elif limits.oom_policy == "freeze" and limits.memory is not None:
        yield Setting("oom_policy", "memory", "memory.high", str(watermark(limits.memory)))
    if limits.memory_swappiness is not None:
        never = "is of version 2 here, where swappiness is the host's"
        yield Setting("memory_swappiness", "memory", "memory.swappiness", "", never=never)
    if limits.oom_kill_disable:
        never = "is of version 2 here and always kills; use --oom-policy freeze"
        yield Setting("oom_kill_disable", "memory", "memory.oom_control", "", never=never)
    if limits.cpus is not None:
        yield Setting("cpus", "cpu", "cpu.max", f"{_quota(limits.cpus)} {CPU_PERIOD}")
    elif limits.cpu_quota is not None or limits.cpu_period is not None:
        name = "cpu_quota" if limits.cpu_quota is not None else "cpu_period"
        yield Setting(name, "cpu", "cpu.max", f"{limits.cpu_quota or 'max'} {limits.cpu_period or CPU_PERIOD}")
    if limits.cpu_shares is not None:
        yield Setting("cpu_shares", "cpu", "cpu.weight", str(weight(limits.cpu_shares)))
    if (share := limits.blkio_weight) is not None:
        instead = ("io.weight", f"default {disk_weight(share)}")
        yield Setting("blkio_weight", "io", "io.bfq.weight", str(share), instead=instead)
    for device, share in limits.blkio_weight_devices:
        instead = ("io.weight", f"{device} {disk_weight(share)}")
        yield Setting("blkio_weight_device", "io", "io.bfq.weight", f"{device} {share}", instead=instead)
    for rate, device, number in limits.device_rates:
        name = f"device_{'read' if rate[0] == 'r' else 'write'}_{rate[1:]}"
        yield Setting(name, "io", "io.max", f"{device} {rate}={number}")
    if limits.net_classid is not None:
        never = "is not here: version 2 has nothing like it"
        yield Setting("net_classid", "net_cls", "net_cls.classid", "", never=never)
    yield from _common(limits)


def _common(limits: Limits) -> Iterator[Setting]:
    if limits.cpuset_cpus is not None:
        yield Setting("cpuset_cpus", "cpuset", "cpuset.cpus", limits.cpuset_cpus)
    if limits.cpuset_mems is not None:
        yield Setting("cpuset_mems", "cpuset", "cpuset.mems", limits.cpuset_mems)
    if limits.pids is not None:
        yield Setting("pids", "pids", "pids.max", str(limits.pids))

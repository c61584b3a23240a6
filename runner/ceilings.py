"""Limits in the words of each cgroup version: which file gets which text."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from runner.limits import Limits

CPU_PERIOD = 100_000  # microseconds


class Setting(NamedTuple):
    """One line to write. `asked` is False for a default of ours that may fail quietly."""

    limit: str
    controller: str
    file: str
    value: str
    asked: bool = True


def weight(shares: int) -> int:
    """cpu.shares (2 to 262144, normal 1024) as a version-2 cpu.weight (1 to 10000, normal 100)."""
    logarithm = math.log2(min(max(shares, 2), 262144))
    return min(max(math.ceil(10 ** ((logarithm**2 + 125 * logarithm) / 612 - 7 / 34)), 1), 10000)


def _swap_total(limits: Limits) -> int | None:
    """Memory and swap together, in bytes: what was asked, or docker's default of twice the memory."""
    if limits.memory_swap is not None:
        return limits.memory_swap
    return None if limits.memory is None else 2 * limits.memory


def _quota(cpus: float) -> int:
    return max(int(cpus * CPU_PERIOD), 1000)  # the kernel takes no less than a millisecond


def legacy(limits: Limits) -> Iterator[Setting]:
    """For version 1, in an order that the kernel accepts."""
    if limits.memory is not None:
        yield Setting("memory", "memory", "memory.limit_in_bytes", str(limits.memory))
    total = _swap_total(limits)
    if total is not None:
        yield Setting(
            "memory_swap", "memory", "memory.memsw.limit_in_bytes", str(total), limits.memory_swap is not None
        )
    if limits.memory_reservation is not None:
        yield Setting("memory_reservation", "memory", "memory.soft_limit_in_bytes", str(limits.memory_reservation))
    if limits.cpus is not None:
        yield Setting("cpus", "cpu", "cpu.cfs_period_us", str(CPU_PERIOD))
        yield Setting("cpus", "cpu", "cpu.cfs_quota_us", str(_quota(limits.cpus)))
    if limits.cpu_shares is not None:
        yield Setting("cpu_shares", "cpu", "cpu.shares", str(limits.cpu_shares))
    yield from _common(limits)


def unified(limits: Limits) -> Iterator[Setting]:
    """For version 2."""
    if limits.memory is not None:
        yield Setting("memory", "memory", "memory.max", str(limits.memory))
    total = _swap_total(limits)
    if total is not None:
        swap = "max" if total == -1 or limits.memory is None else str(total - limits.memory)
        yield Setting("memory_swap", "memory", "memory.swap.max", swap, limits.memory_swap is not None)
    if limits.memory_reservation is not None:
        yield Setting("memory_reservation", "memory", "memory.low", str(limits.memory_reservation))
    if limits.cpus is not None:
        yield Setting("cpus", "cpu", "cpu.max", f"{_quota(limits.cpus)} {CPU_PERIOD}")
    if limits.cpu_shares is not None:
        yield Setting("cpu_shares", "cpu", "cpu.weight", str(weight(limits.cpu_shares)))
    yield from _common(limits)


def _common(limits: Limits) -> Iterator[Setting]:
    if limits.cpuset_cpus is not None:
        yield Setting("cpuset_cpus", "cpuset", "cpuset.cpus", limits.cpuset_cpus)
    if limits.cpuset_mems is not None:
        yield Setting("cpuset_mems", "cpuset", "cpuset.mems", limits.cpuset_mems)
    if limits.pids is not None:
        yield Setting("pids", "pids", "pids.max", str(limits.pids))

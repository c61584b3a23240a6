"""What a sandbox that runs uses now: the counters of its control groups, and those of its network namespace."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from layers.quick import dataclass
from runner.cgroups import Cgroup
from runner.inside import processes

UNLIMITED = 1 << 60
"""Bytes from which on a memory limit of version 1 is none."""


@dataclass(frozen=True, slots=True)
class Reading:
    """`memory` in bytes, without the page cache that can be given back at once; `limit` is that of this host if it has
    none of its own. `read` and `written` are bytes of block devices, `received` and `sent` those of its own network.
    """

    cpu_seconds: float
    memory: int
    limit: int
    read: int
    written: int
    received: int
    sent: int
    pids: int


def measure(group: Cgroup, pid: int) -> Reading:
    """All counters of the groups of a sandbox whose first process is `pid`. What is not counted here reads 0."""
    usage = group.usage()
    read, written = _blocks(group)
    received, sent = _network(pid)
    return Reading(
        usage.user_seconds + usage.system_seconds,
        _memory(group),
        _limit(group),
        read,
        written,
        received,
        sent,
        group.number("pids", "pids.current", "pids.current") or len(group.processes()),
    )


def estimate(pid: int) -> Reading:
    """The same for who is in no groups, by what the processes inside say; memory that they share counts for each."""
    inside = processes(pid)
    ticks = pages = 0
    for one in inside:
        with suppress(OSError, IndexError):  # it has ended
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))  # with those of its children that have ended
            pages += int(fields[21])
    read, written = _moved(inside)
    received, sent = _network(pid)
    seconds, memory = ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE")
    return Reading(seconds, memory, _host(), read, written, received, sent, len(inside))


def _memory(group: Cgroup) -> int:
    used = group.number("memory", "memory.usage_in_bytes", "memory.current") or 0
    idle = "total_inactive_file" if "memory" in group.legacy else "inactive_file"
    return max(used - group.table("memory", "memory.stat", "memory.stat").get(idle, 0), 0)


def _limit(group: Cgroup) -> int:
    own = group.number("memory", "memory.limit_in_bytes", "memory.max")
    host = _host()
    return host if own is None or own > UNLIMITED else min(own, host or own)


def _host() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) << 10
    return 0


def _blocks(group: Cgroup) -> tuple[int, int]:
    """Bytes read and written by everyone who was ever inside; of those inside now where no controller counts."""
    if "blkio" in group.legacy:
        with suppress(OSError):
            lines = (group.legacy["blkio"] / "blkio.throttle.io_service_bytes").read_text().splitlines()
            words = [line.split() for line in lines]
            return _sum(words, "Read"), _sum(words, "Write")
    elif group.unified is not None and (group.unified / "io.stat").exists():
        pairs = [pair.split("=") for pair in (group.unified / "io.stat").read_text().split() if "=" in pair]
        return (
            sum(int(value) for key, value in pairs if key == "rbytes"),
            sum(int(value) for key, value in pairs if key == "wbytes"),
        )
    return _moved(group.processes())


def _moved(pids: Iterable[int]) -> tuple[int, int]:
    """Bytes that processes have read from block devices and written to them."""
    read = written = 0
    for pid in pids:
        with suppress(OSError):
            told = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
            read, written = read + int(told["read_bytes"]), written + int(told["write_bytes"])
    return read, written


def _sum(words: Iterable[list[str]], kind: str) -> int:
    return sum(int(one[2]) for one in words if len(one) == 3 and one[1] == kind)


def _network(pid: int) -> tuple[int, int]:
    """Bytes received and sent by all interfaces but the loopback; nothing where the network is the host's."""
    with suppress(OSError, IndexError, ValueError):
        if Path(f"/proc/{pid}/ns/net").readlink() == Path("/proc/self/ns/net").readlink():
            return 0, 0
        rows = [line.partition(":") for line in Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]]
        counts = [after.split() for name, _, after in rows if name.strip() != "lo"]
        return sum(int(one[0]) for one in counts), sum(int(one[8]) for one in counts)
    return 0, 0

"""What a container uses, in the shape of runc's `events --stats`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner.cgroups import Cgroup


def stats(cgroup: Cgroup) -> dict[str, Any]:
    """Processors in nanoseconds, memory in bytes, processes; zero where this kernel does not count."""
    read = _Reader(cgroup.legacy, cgroup.unified)
    cpu, memory = read.table("cpu", "cpu.stat"), read.table("memory", "memory.stat")
    two = "cpuacct" not in cgroup.legacy
    micro = 1000 if two else 1
    total = cpu.get("usage_usec", 0) * 1000 if two else read.number("cpuacct", "cpuacct.usage")
    return {
        "cpu": {
            "usage": {
                "total": total,
                "kernel": cpu.get("system_usec", 0) * 1000 if two else read.number("cpuacct", "cpuacct.usage_sys"),
                "user": cpu.get("user_usec", 0) * 1000 if two else read.number("cpuacct", "cpuacct.usage_user"),
                "percpu": [] if two else read.numbers("cpuacct", "cpuacct.usage_percpu"),
            },
            "throttling": {
                "periods": cpu.get("nr_periods", 0),
                "throttledPeriods": cpu.get("nr_throttled", 0),
                "throttledTime": cpu.get("throttled_usec", cpu.get("throttled_time", 0) // micro) * micro,
            },
        },
        "memory": {
            "cache": memory.get("file", memory.get("cache", 0)),
            "usage": {
                "limit": read.number("memory", "memory.limit_in_bytes", "memory.max"),
                "usage": read.number("memory", "memory.usage_in_bytes", "memory.current"),
                "max": read.number("memory", "memory.max_usage_in_bytes", "memory.peak"),
                "failcnt": read.number("memory", "memory.failcnt"),
            },
            "raw": memory,
        },
        "pids": {
            "current": read.number("pids", "pids.current", "pids.current"),
            "limit": read.number("pids", "pids.max", "pids.max"),
        },
    }


def oom_kills(cgroup: Cgroup) -> int:
    """How often somebody was killed for want of memory."""
    read = _Reader(cgroup.legacy, cgroup.unified)
    found = read.table("memory", "memory.oom_control" if "memory" in cgroup.legacy else "memory.events")
    return found.get("oom_kill", 0)


class _Reader:
    """Files of whichever version a controller is of."""

    def __init__(self, legacy: Mapping[str, Path], unified: Path | None) -> None:
        self.legacy = legacy
        self.unified = unified

    def text(self, controller: str, file: str, unified: str = "") -> str:
        folder = self.legacy.get(controller)
        path = folder / file if folder else self.unified / (unified or file) if self.unified else None
        try:
            return path.read_text() if path else ""
        except OSError:
            return ""

    def numbers(self, controller: str, file: str, unified: str = "") -> list[int]:
        return [int(word) for word in self.text(controller, file, unified).split() if word.isdigit()]

    def number(self, controller: str, file: str, unified: str = "") -> int:
        return next(iter(self.numbers(controller, file, unified)), 0)

    def table(self, controller: str, file: str) -> dict[str, int]:
        pairs = (line.split() for line in self.text(controller, file).splitlines())
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}

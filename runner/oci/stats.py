"""What a container uses, in the shape of runc's `events --stats`."""

from typing import Any

from runner.cgroups import Cgroup


def stats(cgroup: Cgroup) -> dict[str, Any]:
    """Processors in nanoseconds, memory in bytes, processes; zero where this kernel does not count."""

    def number(controller: str, legacy: str, unified: str = "") -> int:
        return cgroup.number(controller, legacy, unified) or 0

    cpu, memory = cgroup.table("cpu", "cpu.stat", "cpu.stat"), cgroup.table("memory", "memory.stat", "memory.stat")
    two = "cpuacct" not in cgroup.legacy
    micro = 1000 if two else 1
    total = cpu.get("usage_usec", 0) * 1000 if two else number("cpuacct", "cpuacct.usage")
    return {
        "cpu": {
            "usage": {
                "total": total,
                "kernel": cpu.get("system_usec", 0) * 1000 if two else number("cpuacct", "cpuacct.usage_sys"),
                "user": cpu.get("user_usec", 0) * 1000 if two else number("cpuacct", "cpuacct.usage_user"),
                "percpu": [] if two else [*map(int, cgroup.text("cpuacct", "cpuacct.usage_percpu").split())],
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
                "limit": number("memory", "memory.limit_in_bytes", "memory.max"),
                "usage": number("memory", "memory.usage_in_bytes", "memory.current"),
                "max": number("memory", "memory.max_usage_in_bytes", "memory.peak"),
                "failcnt": number("memory", "memory.failcnt"),
            },
            "raw": memory,
        },
        "pids": {
            "current": number("pids", "pids.current", "pids.current"),
            "limit": number("pids", "pids.max", "pids.max"),
        },
    }

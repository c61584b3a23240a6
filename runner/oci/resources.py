"""`linux.resources` of config.json in the words of each cgroup version: which file gets which text."""

import posixpath
from collections.abc import Iterator

from runner.ceilings import CPU_PERIOD, Setting, weight
from runner.oci.document import Node

SIGNED = {"low": -1, "high": 2**63 - 1}
THROTTLES = ("ReadBps", "WriteBps", "ReadIOPS", "WriteIOPS")
UNIFIED_THROTTLES = {"ReadBps": "rbps", "WriteBps": "wbps", "ReadIOPS": "riops", "WriteIOPS": "wiops"}
NOT_UNIFIED = {  # of memory and cpu: what version 2 has no file for
    "memory": ("kernel", "kernelTCP", "swappiness", "disableOOMKiller"),
    "cpu": ("realtimeRuntime", "realtimePeriod"),
}


def legacy(resources: Node) -> Iterator[Setting]:
    """For version 1, in an order that the kernel accepts for groups without limits. Raises BundleInvalid."""
    memory, cpu, block = resources.table("memory"), resources.table("cpu"), resources.table("blockIO")
    for key, file in (
        ("limit", "memory.limit_in_bytes"),
        ("swap", "memory.memsw.limit_in_bytes"),
        ("reservation", "memory.soft_limit_in_bytes"),
        ("kernelTCP", "memory.kmem.tcp.limit_in_bytes"),
        ("swappiness", "memory.swappiness"),
    ):
        if (value := memory.number(key, **SIGNED)) is not None:
            yield Setting(f"memory.{key}", "memory", file, str(value))
    if memory.flag("disableOOMKiller"):
        yield Setting("memory.disableOOMKiller", "memory", "memory.oom_control", "1")
    if (shares := cpu.number("shares")) is not None and shares:
        yield Setting("cpu.shares", "cpu", "cpu.shares", str(shares))
    for key, file in (
        ("period", "cpu.cfs_period_us"),
        ("quota", "cpu.cfs_quota_us"),
        ("burst", "cpu.cfs_burst_us"),
        ("realtimePeriod", "cpu.rt_period_us"),
        ("realtimeRuntime", "cpu.rt_runtime_us"),
    ):
        if value := cpu.number(key, **SIGNED):
            yield Setting(f"cpu.{key}", "cpu", file, str(value))
    if (idle := cpu.number("idle", **SIGNED)) is not None:
        yield Setting("cpu.idle", "cpu", "cpu.idle", str(idle))
    for key, file in (("weight", "blkio.bfq.weight"), ("leafWeight", "blkio.leaf_weight")):
        if value := block.number(key, high=1000):
            yield Setting(f"blockIO.{key}", "blkio", file, str(value))
    for one in block.tables("weightDevice"):
        if value := one.number("weight", high=1000):
            yield Setting("blockIO.weightDevice", "blkio", "blkio.bfq.weight_device", f"{_device(one)} {value}")
    for kind in THROTTLES:
        way, unit = ("read" if kind.startswith("Read") else "write"), kind.removeprefix("Read").removeprefix("Write")
        for one in block.tables(f"throttle{kind}Device"):
            file = f"blkio.throttle.{way}_{unit.lower()}_device"
            yield Setting(f"blockIO.throttle{kind}Device", "blkio", file, f"{_device(one)} {one.number('rate') or 0}")
    network = resources.table("network")
    if (number := network.number("classID", high=2**32 - 1)) is not None and number:
        yield Setting("network.classID", "net_cls", "net_cls.classid", str(number))
    for one in network.tables("priorities"):
        text = f"{one.text('name')} {one.number('priority', high=2**32 - 1) or 0}"
        yield Setting("network.priorities", "net_prio", "net_prio.ifpriomap", text)
    for one in resources.tables("hugepageLimits"):
        file = f"hugetlb.{_page(one)}.limit_in_bytes"
        yield Setting("hugepageLimits", "hugetlb", file, str(one.number("limit") or 0))
    yield from _common(resources)


def unified(resources: Node) -> Iterator[Setting]:
    """For version 2. Raises BundleInvalid for what it does not have."""
    memory, cpu, block = resources.table("memory"), resources.table("cpu"), resources.table("blockIO")
    for table, keys in NOT_UNIFIED.items():
        for key in keys:
            if resources.table(table).value.get(key) and not (key == "kernel"):
                raise resources.table(table).fail(key, "cgroup v2 has nothing like it")
    limit = memory.number("limit", **SIGNED)
    if limit is not None:
        yield Setting("memory.limit", "memory", "memory.max", _most(limit))
    if (swap := memory.number("swap", **SIGNED)) is not None:
        if swap > 0 and (limit is None or limit <= 0 or swap < limit):
            raise memory.fail("swap", "counts memory and swap together, so it needs a limit that is not more")
        yield Setting("memory.swap", "memory", "memory.swap.max", _most(swap - (limit or 0) if swap > 0 else swap))
    if (reservation := memory.number("reservation", **SIGNED)) is not None:
        yield Setting("memory.reservation", "memory", "memory.low", _most(reservation))
    if shares := cpu.number("shares"):
        yield Setting("cpu.shares", "cpu", "cpu.weight", str(weight(shares)))
    quota, period = cpu.number("quota", **SIGNED), cpu.number("period")
    if quota or period:
        text = f"{_most(quota or -1)} {period or CPU_PERIOD}"
        yield Setting("cpu.quota", "cpu", "cpu.max", text)
    for key, file in (("burst", "cpu.max.burst"), ("idle", "cpu.idle")):
        if (value := cpu.number(key, **SIGNED)) is not None:
            yield Setting(f"cpu.{key}", "cpu", file, str(value))
    if value := block.number("weight", high=1000):
        yield Setting("blockIO.weight", "io", "io.bfq.weight", str(value))
    for one in block.tables("weightDevice"):
        if value := one.number("weight", high=1000):
            yield Setting("blockIO.weightDevice", "io", "io.bfq.weight", f"{_device(one)} {value}")
    for kind in THROTTLES:
        for one in block.tables(f"throttle{kind}Device"):
            text = f"{_device(one)} {UNIFIED_THROTTLES[kind]}={one.number('rate') or 'max'}"
            yield Setting(f"blockIO.throttle{kind}Device", "io", "io.max", text)
    for one in resources.tables("hugepageLimits"):
        yield Setting("hugepageLimits", "hugetlb", f"hugetlb.{_page(one)}.max", str(one.number("limit") or 0))
    yield from _common(resources)
    for file, text in resources.pairs("unified").items():
        if "/" in file or not file or file.startswith("cgroup."):
            raise resources.fail("unified", f"{file!r} is no file of a controller")
        for line in text.splitlines() or [""]:
            yield Setting("unified", file.partition(".")[0], file, line)


def _common(resources: Node) -> Iterator[Setting]:
    cpu = resources.table("cpu")
    for key in ("cpus", "mems"):
        if value := cpu.text(key):
            yield Setting(f"cpu.{key}", "cpuset", f"cpuset.{key}", value)
    limit = resources.table("pids").number("limit", **SIGNED)
    if limit is not None and limit:
        yield Setting("pids.limit", "pids", "pids.max", _most(limit))
    rdma = resources.table("rdma")
    for device in rdma.value:
        one = rdma.table(device)
        words = [
            f"{word}={number}"
            for word, key in (("hca_handle", "hcaHandles"), ("hca_object", "hcaObjects"))
            if (number := one.number(key, high=2**32 - 1)) is not None
        ]
        yield Setting("rdma", "rdma", "rdma.max", " ".join([device, *words]))


def _most(value: int) -> str:
    return "max" if value < 0 else str(value)


def _device(one: Node) -> str:
    major, minor = one.number("major", high=2**32 - 1), one.number("minor", high=2**32 - 1)
    return f"{major or 0}:{minor or 0}"


def _page(one: Node) -> str:
    size = one.text("pageSize")
    if not size or posixpath.basename(size) != size:
        raise one.fail("pageSize", f"{size!r} is no size of pages")
    return size

"""Limits that only one version of control groups knows, limits of single processes, devices: set or refused."""

import os
import resource
import stat
from pathlib import Path
from typing import Any

import pytest

from runner import DEFAULT_CAPABILITIES, Device, Identity, Limits, LimitUnavailable, Rule, SandboxUnavailable
from runner.cgroups import PREFIX, Cgroup, check
from runner.guard import restrict_legacy
from runner.hierarchy import discover
from runner.linux import mount
from runner.mounts import unmount
from runner.native import Native
from runner.spawner import Spawner
from tests.support.guest import is_guest
from tests.support.private import privately
from tests.support.walls import Walled, busybox

pytestmark = pytest.mark.root

MIB = 1 << 20


def disk() -> str:
    """A whole disk of this machine as major:minor, for limits on its use."""
    for name in sorted(os.listdir("/sys/block")):
        if not name.startswith(("ram", "zram")):
            return Path(f"/sys/block/{name}/dev").read_text().strip()
    pytest.skip("this machine has no disk")


def setting(limits: Limits, *files: str) -> str:
    """What the kernel says of a limit once it is set: the first of several files that is there."""
    group = Cgroup.create(limits)
    try:
        for path in group.paths:
            for file in files:
                if (path / file).exists():
                    return (path / file).read_text().strip()
    finally:
        group.remove()
    raise AssertionError(f"no {files} in {group.paths}")


SHARED: list[tuple[dict[str, Any], tuple[str, ...], tuple[str, ...]]] = [  # limits, files, what they may say
    ({"memory_reservation": 16 * MIB}, ("memory.soft_limit_in_bytes", "memory.low"), (str(16 * MIB),)),
    ({"cpu_quota": 20000}, ("cpu.cfs_quota_us", "cpu.max"), ("20000", "20000 100000")),
    ({"cpu_quota": 20000, "cpu_period": 50000}, ("cpu.cfs_period_us", "cpu.max"), ("50000", "20000 50000")),
    ({"cpu_period": 50000}, ("cpu.cfs_period_us", "cpu.max"), ("50000", "max 50000")),
    ({"cpuset_mems": "0"}, ("cpuset.mems",), ("0",)),
]


@pytest.mark.parametrize(("limits", "files", "values"), SHARED)
def test_both_versions(limits: dict[str, Any], files: tuple[str, ...], values: tuple[str, ...]) -> None:
    assert setting(Limits(**limits), *files) in values


def test_shares_of_disks() -> None:
    try:
        found = setting(Limits(blkio_weight=300), "blkio.bfq.weight", "blkio.weight", "io.bfq.weight", "io.weight")
    except LimitUnavailable as problem:  # a kernel without weights of disks says so
        assert "blkio-weight" in str(problem)
    else:
        assert found in ("300", "default 300", "default 2930")


@pytest.mark.parametrize(
    ("rate", "file"),
    [
        ("rbps", "blkio.throttle.read_bps_device"),
        ("wbps", "blkio.throttle.write_bps_device"),
        ("riops", "blkio.throttle.read_iops_device"),
        ("wiops", "blkio.throttle.write_iops_device"),
    ],
)
def test_rates_of_disks(rate: str, file: str) -> None:
    device = disk()
    found = setting(Limits(device_rates=((rate, device, 1_000_000),)), file, "io.max")
    assert found.split()[0] == device
    assert found.split()[1] == "1000000" or f"{rate}=1000000" in found.split()


def test_a_rate_is_kept(walled: Walled) -> None:
    """Direct writes, which both versions count: four megabytes at two a second."""
    number = os.stat(walled.root).st_dev
    device = f"{os.major(number)}:{os.minor(number)}"
    if not Path(f"/sys/dev/block/{device}").exists() or Path(f"/sys/dev/block/{device}/partition").exists():
        pytest.skip("the file system is not on a whole disk here")
    line = "dd if=/dev/zero of=/file bs=1M count=4 oflag=direct 2>/dev/null"
    found = walled(line, limits=Limits(device_rates=(("wbps", device, 2 * MIB),))).exit
    assert found.code == 0
    assert found.usage.wall_seconds > 1.5
    assert found.usage.written_bytes is None or found.usage.written_bytes >= 4 * MIB


ONLY = [  # limits, whether version 1 has them, the file
    ({"memory_swappiness": 30}, True, "memory.swappiness", "30"),
    ({"memory": 16 * MIB, "oom_kill_disable": True}, True, "memory.oom_control", "oom_kill_disable 1"),
    ({"memory_high": 8 * MIB}, False, "memory.high", str(8 * MIB)),
]


@pytest.mark.parametrize(("limits", "legacy", "file", "value"), ONLY)
def test_one_version_only(limits: dict[str, Any], legacy: bool, file: str, value: str) -> None:
    if ("memory" in discover().legacy) == legacy:
        assert value in setting(Limits(**limits), file)
        check(Limits(**limits))
    else:
        with pytest.raises(LimitUnavailable, match="is of version"):
            check(Limits(**limits))


def test_the_mark_of_packets_needs_its_controller() -> None:
    if "net_cls" in discover().legacy:
        assert setting(Limits(net_classid=0x100001), "net_cls.classid") == str(0x100001)
    else:
        with pytest.raises(LimitUnavailable, match="net-classid"):
            check(Limits(net_classid=0x100001))


@pytest.mark.skipif(not is_guest(), reason="a hierarchy is all of the machine's, so it is mounted in the guest only")
def test_the_mark_of_packets_where_its_controller_is_mounted(tmp_path: Path) -> None:
    place = tmp_path / "net_cls"
    place.mkdir()

    def body() -> None:
        mount(b"net_cls", bytes(place), b"cgroup", 0, b"net_cls")
        try:
            assert set(discover().legacy) == {"net_cls"}
            assert setting(Limits(net_classid=0x100001), "net_cls.classid") == str(0x100001)
            spawner = Spawner()
            walled = Walled(Native(spawner), busybox(tmp_path / "root"))
            look = "cat /sys/fs/cgroup/net_cls/net_cls.classid"
            assert walled(look, limits=Limits(net_classid=7, pids=50)).out == "7\n"
            assert walled(look).exit.code == 1  # who has no mark has no group of it
            spawner.close()
            assert not [entry for entry in place.iterdir() if entry.is_dir()]
        finally:
            unmount(place)

    privately(body)


@pytest.mark.parametrize(
    "limits",
    [
        Limits(cpuset_mems="77"),
        Limits(cpu_quota=1000, cpu_period=1_000_000, cpuset_cpus="4000"),
        Limits(device_rates=(("rbps", "4000:1", 1000),)),
        Limits(blkio_weight_devices=(("4000:1", 100),)),
    ],
)
def test_what_cannot_be_set_is_refused(limits: Limits, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    random = os.urandom

    def draw(size: int) -> bytes:
        drawn.append(random(size).hex())
        return bytes.fromhex(drawn[-1])

    monkeypatch.setattr(os, "urandom", draw)
    with pytest.raises(LimitUnavailable):
        check(limits)
    made = {PREFIX + name for name in drawn}  # others come and go meanwhile
    assert made
    assert not [place for place in discover().legacy.values() if made & {*os.listdir(place)}]


def test_ulimits(walled: Walled) -> None:
    limits = Limits(ulimits=(("nofile", 77, 99), ("core", 0, 0), ("fsize", 1 << 20, 1 << 20), ("stack", 1 << 20, -1)))
    found = walled("ulimit -n; ulimit -Hn; ulimit -c; ulimit -s; ulimit -Hs", limits=limits).out.split()
    assert found[:4] == ["77", "99", "0", "1024"]
    line = "dd if=/dev/zero of=/file bs=1M count=2; echo $?"
    assert walled(line, limits=limits).out == "153\n"  # SIGXFSZ


@pytest.mark.parametrize("name", ["nofile", "nproc", "as", "cpu"])
def test_the_smallest_ulimits_end_well(walled: Walled, name: str) -> None:
    """So few that only exec itself is left."""
    if name == "as":
        with pytest.raises(KeyError):
            walled("true", limits=Limits(ulimits=(("as", 1, 1),)))
        return
    value = {"nofile": 4, "nproc": 1, "cpu": 1}[name]
    found = walled("while :; do :; done" if name == "cpu" else "true", limits=Limits(ulimits=((name, value, value),)))
    assert found.exit.code == (137 if name == "cpu" else 0)


def test_a_ulimit_beyond_our_own_is_refused(walled: Walled) -> None:
    most = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]
    may = int(
        next(line for line in Path("/proc/self/status").read_text().splitlines() if "CapEff" in line).split()[1], 16
    )
    if may >> 24 & 1 or most == resource.RLIM_INFINITY:
        assert walled("true", limits=Limits(ulimits=(("memlock", -1, -1),))).exit.code == 0
    else:
        with pytest.raises(LimitUnavailable, match=f"memlock.*{most}"):
            walled("true", limits=Limits(ulimits=(("memlock", -1, -1),)))
    with pytest.raises(LimitUnavailable, match=r"nr_open|itself"):
        walled("true", limits=Limits(ulimits=(("nofile", 1, -1),)))


def test_how_gladly_it_is_killed(walled: Walled) -> None:
    assert walled("cat /proc/self/oom_score_adj", limits=Limits(oom_score_adj=321)).out == "321\n"
    own = int(Path("/proc/self/oom_score_adj").read_text())
    may = int(
        next(line for line in Path("/proc/self/status").read_text().splitlines() if "CapEff" in line).split()[1], 16
    )
    if not may >> 24 & 1:
        with pytest.raises(LimitUnavailable, match="oom-score-adj"):
            check(Limits(oom_score_adj=own - 1))


# -- devices ---------------------------------------------------------------------------------


def node(path: str, target: str, access: str = "rwm") -> Device:
    there = os.stat(path)
    kind = "c" if stat.S_ISCHR(there.st_mode) else "b"
    return Device(path, target, kind, os.major(there.st_rdev), os.minor(there.st_rdev), 0o640, 0, 7, access)


HARMLESS = "/dev/loop-control"
"""A device that is no usual one, and that can be opened without doing anything."""
OPEN = "dd if={0} of=/dev/null count=0 2>&1 && echo opened"


def test_a_device_stands_where_it_was_asked_for(walled: Walled) -> None:
    asked = node(HARMLESS, "/dev/deep/er/loops")
    numbers = f"{asked.major:x}:{asked.minor:x}"
    found = walled(
        f"stat -c '%F %t:%T %a %g' {asked.target}; {OPEN.format(asked.target)}",
        devices=(asked,),
    )
    assert found.out.splitlines()[0] == f"character special file {numbers} 640 7"
    assert found.out.endswith("opened\n")
    line = f"mknod /dev/loops c {asked.major} {asked.minor}; {OPEN.format('/dev/loops')}"
    assert "not permitted" in walled(line).out


def test_a_device_may_be_used_as_far_as_was_said(walled: Walled) -> None:
    readable = (node(HARMLESS, "/dev/loops", "r"),)
    assert "opened" in walled(OPEN.format("/dev/loops"), devices=readable).out
    assert "not permitted" in walled("echo x >/dev/loops", devices=readable).err


def test_a_rule_opens_what_the_command_makes(walled: Walled) -> None:
    there = node(HARMLESS, "/dev/x")
    line = f"mknod /tmp/k c {there.major} {there.minor}; {OPEN.format('/tmp/k')}"
    assert "opened" not in walled(line).out
    assert "opened" in walled(line, device_rules=(Rule("c", there.major, None, "r"),)).out
    assert "opened" in walled("rm /tmp/k;" + line, device_rules=(Rule("a"),)).out
    assert "opened" not in walled("rm /tmp/k;" + line, device_rules=(Rule("b", there.major, None, "rwm"),)).out


def test_a_list_of_version_1_opens_what_the_rules_open(has_legacy_cgroups: bool) -> None:
    if not has_legacy_cgroups:
        pytest.skip("no devices controller of version 1")
    group = discover().legacy["devices"] / f"pybuild-list-{os.getpid()}"
    group.mkdir()
    try:
        rules = (Rule("a", 10, None, "r"), Rule("c", 11), Rule("c", 11, 1, "w", allow=False), Rule("c", 12, 1))
        restrict_legacy(group, (Rule("a", allow=False), *rules))
        listed = set((group / "devices.list").read_text().splitlines())
        assert listed == {"b 10:* r", "c 10:* r", "c 11:* rwm", "c 12:1 rwm"}  # a part of a line cannot be taken back
        restrict_legacy(group, (Rule("a"),))
        assert (group / "devices.list").read_text() == "a *:* rwm\n"
    finally:
        group.rmdir()


@pytest.mark.parametrize("target", ["/dev/fd/3", "/dev/pts/9", "/dev/../etc/x", "/etc/x", "/dev/shm/x"])
def test_a_device_stands_nowhere_else(walled: Walled, target: str) -> None:
    with pytest.raises(SandboxUnavailable, match="cannot stand"):
        walled("true", devices=(node("/dev/null", target),))


def test_a_usual_device_can_be_asked_for_again(walled: Walled) -> None:
    assert walled("echo x >/dev/null && echo ok", devices=(node("/dev/null", "/dev/null"),)).out == "ok\n"


def test_a_capability_that_we_lack_is_no_gift(walled: Walled) -> None:
    from runner.capabilities import held

    missing = {"SYS_RESOURCE"} - held()
    if not missing:
        assert walled("true", capabilities=DEFAULT_CAPABILITIES | {"SYS_RESOURCE"}).exit.code == 0
    else:
        with pytest.raises(SandboxUnavailable, match="SYS_RESOURCE"):
            walled("true", capabilities=DEFAULT_CAPABILITIES | missing)


# -- usage -----------------------------------------------------------------------------------


def test_what_was_moved_to_and_from_disks_is_counted(walled: Walled) -> None:
    kind = os.statvfs(walled.root)
    assert kind.f_bsize
    found = walled("(dd if=/dev/zero of=/file bs=1M count=3 2>/dev/null; sync); true").exit.usage
    if Path("/proc/self/io").exists():
        assert found.written_bytes is not None
        assert found.read_bytes is not None
        if os.major(os.stat(walled.root).st_dev):  # a tmpfs writes to no disk
            assert found.written_bytes >= 3 * MIB
            assert found.written_bytes < 40 * MIB


def test_a_user_is_counted_like_anybody(walled: Walled) -> None:
    found = walled("dd if=/dev/zero of=/tmp/file bs=1M count=3 2>/dev/null", identity=Identity(1000, 1000)).exit.usage
    if Path("/proc/self/io").exists() and os.major(os.stat(walled.root).st_dev):
        assert (found.written_bytes or 0) >= 3 * MIB

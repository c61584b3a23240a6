"""Limits: what is refused, what each cgroup version is told, and where the groups are."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import Identity, Limits, LimitUnavailable, Mount, Sandbox, ceilings, cgroups, delegation
from runner.cgroups import Cgroup, is_ours
from runner.hierarchy import Hierarchy, read
from runner.sweep import sweep

MIB = 1 << 20
FULL = Limits(512 * MIB, 1024 * MIB, 256 * MIB, 1.5, 512, "0-1", "0", 100, 60)


@pytest.mark.parametrize("name", ["memory", "memory_reservation", "cpus", "cpu_shares", "pids", "seconds"])
@pytest.mark.parametrize("value", [0, -1, -0.5])
def test_nothing_can_be_limited_to_nothing(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be greater than zero"):
        Limits(**{name: value})  # type: ignore[arg-type]


def test_swap_counts_memory_as_well() -> None:
    with pytest.raises(ValueError, match="needs a limit on memory"):
        Limits(memory_swap=MIB)
    with pytest.raises(ValueError, match="cannot be less"):
        Limits(memory=2 * MIB, memory_swap=MIB)
    assert Limits(memory_swap=-1).memory_swap == -1
    assert Limits(memory=MIB, memory_swap=MIB)


def words(settings: object) -> list[tuple[str, str]]:
    return [(setting.file, setting.value) for setting in settings]  # type: ignore[attr-defined]


def test_version_1_raises_memory_before_swap() -> None:
    assert words(ceilings.legacy(FULL)) == [
        ("memory.limit_in_bytes", "536870912"),
        ("memory.memsw.limit_in_bytes", "1073741824"),
        ("memory.soft_limit_in_bytes", "268435456"),
        ("cpu.cfs_period_us", "100000"),
        ("cpu.cfs_quota_us", "150000"),
        ("cpu.shares", "512"),
        ("cpuset.cpus", "0-1"),
        ("cpuset.mems", "0"),
        ("pids.max", "100"),
    ]


def test_version_2_counts_swap_alone() -> None:
    assert words(ceilings.unified(FULL)) == [
        ("memory.max", "536870912"),
        ("memory.swap.max", "536870912"),
        ("memory.low", "268435456"),
        ("cpu.max", "150000 100000"),
        ("cpu.weight", "59"),
        ("cpuset.cpus", "0-1"),
        ("cpuset.mems", "0"),
        ("pids.max", "100"),
    ]


@pytest.mark.parametrize(
    ("limits", "swap", "asked"),
    [
        (Limits(memory=MIB), str(MIB), False),
        (Limits(memory=MIB, memory_swap=MIB), "0", True),
        (Limits(memory=MIB, memory_swap=-1), "max", True),
        (Limits(memory_swap=-1), "max", True),
    ],
)
def test_swap_of_version_2(limits: Limits, swap: str, asked: bool) -> None:
    (setting,) = (one for one in ceilings.unified(limits) if one.file == "memory.swap.max")
    assert (setting.value, setting.asked) == (swap, asked)


def test_nothing_asked_nothing_written() -> None:
    assert list(ceilings.legacy(Limits())) == list(ceilings.unified(Limits())) == []
    assert list(ceilings.unified(Limits(seconds=5))) == []


@given(st.integers(1, 300_000))
def test_shares_become_a_weight_in_bounds_and_in_order(shares: int) -> None:
    assert 1 <= ceilings.weight(shares) <= ceilings.weight(shares + 1) <= 10_000


def test_normal_shares_are_the_normal_weight() -> None:
    assert [ceilings.weight(shares) for shares in (2, 1024, 262144)] == [1, 100, 10000]


@given(st.floats(0.0001, 1000))
def test_quotas_are_what_the_kernel_takes(cpus: float) -> None:
    (setting,) = ceilings.unified(Limits(cpus=cpus))
    quota, period = map(int, setting.value.split())
    assert quota >= 1000
    assert quota == 1000 or abs(quota / period - cpus) < 1e-4


LEGACY_GROUPS = "4:memory:/jobs/a\n3:cpu,cpuacct:/\n1:name=systemd:/user\n0::/\n"
LEGACY_MOUNTS = (
    "35 31 0:31 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n"
    "36 31 0:32 / /sys/fs/cgroup/cpu\\040acct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "37 31 0:33 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"
    "38 31 0:34 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    "39 31 0:35 / /mnt rw - ext4 /dev/sda rw,memory\n"
)


def test_a_hybrid_host() -> None:
    found = read(LEGACY_GROUPS, LEGACY_MOUNTS)
    assert dict(found.legacy) == {
        "memory": Path("/sys/fs/cgroup/memory/jobs/a"),
        "cpu": Path("/sys/fs/cgroup/cpu acct"),
        "cpuacct": Path("/sys/fs/cgroup/cpu acct"),
    }
    assert (found.unified, found.is_unified) == (Path("/sys/fs/cgroup/unified"), False)


def test_a_host_with_version_2_only() -> None:
    found = read("0::/user.slice/a:b\n", "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n")
    assert found == Hierarchy({}, Path("/sys/fs/cgroup/user.slice/a:b"), Path("/sys/fs/cgroup"))
    assert found.is_unified


@pytest.mark.parametrize(("root", "place"), [("/box", "/c/sub"), ("/box/sub", "/c"), ("/other", None), ("/bo", None)])
def test_a_mount_that_shows_a_part_of_the_tree(root: str, place: str | None) -> None:
    found = read("0::/box/sub\n", f"30 23 0:26 {root} /c rw - cgroup2 cgroup2 rw\n")
    assert found.unified == (None if place is None else Path(place))


def test_no_groups_at_all() -> None:
    nowhere = read("", "")
    assert nowhere == Hierarchy({}, None, None)
    group = Cgroup.create(Limits(), nowhere)
    assert (group.paths, group.joins(), group.usage().memory_peak, group.frozen) == ([], [], None, False)
    group.remove()
    for limits, name in (
        *((Limits(memory=MIB), "memory"), (Limits(pids=3), "pids"), (Limits(cpus=1), "cpus")),
        (Limits(cpuset_cpus="0"), "cpuset-cpus"),  # as the flag is written
    ):
        with pytest.raises(LimitUnavailable, match=f"cannot limit {name}"):
            Cgroup.create(limits, nowhere)
    with pytest.raises(LimitUnavailable):
        group.freeze()


@pytest.fixture
def unified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hierarchy:
    """A folder that plays version 2: a group that is made gets the files that the kernel would put there."""
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory pids cpuset")
    (tmp_path / "cgroup.procs").write_text("")
    make = cgroups._make

    def furnished(path: Path, locks: list[int]) -> None:
        make(path, locks)
        for setting in ceilings.unified(FULL):
            (path / setting.file).write_text("max")
        (path / "cpu.stat").write_text("usage_usec 30\nuser_usec 2500000\nsystem_usec 500000\n")
        (path / "memory.events").write_text("low 0\noom 3\noom_kill 2\n")
        (path / "memory.peak").write_text("123456\n")
        (path / "cgroup.procs").write_text("")

    monkeypatch.setattr(cgroups, "_make", furnished)
    return Hierarchy({}, tmp_path, tmp_path)


def test_version_2_is_written_and_read(unified: Hierarchy) -> None:
    group = Cgroup.create(FULL, unified)
    assert group.unified is not None
    assert is_ours(group.unified.name)
    for file, value in words(ceilings.unified(FULL)):
        assert (group.unified / file).read_text().startswith(value), file
    usage = group.usage()
    assert (usage.user_seconds, usage.system_seconds, usage.memory_peak) == (2.5, 0.5, 123456)
    assert (usage.oom_kills, usage.pids_peak, group.joins(), group.processes()) == (2, None, [], set())


def test_a_controller_that_is_not_handed_on_is_named(tmp_path: Path) -> None:
    (tmp_path / "cgroup.subtree_control").write_text("")
    (tmp_path / "cgroup.procs").write_text("1\n")
    with pytest.raises(LimitUnavailable) as problem:
        Cgroup.create(Limits(pids=3), Hierarchy({}, tmp_path, tmp_path))
    assert str(problem.value).startswith("cannot limit pids: the 'pids' cgroup controller has no pids.max in ")
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_a_folder_without_the_right_to_write_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    with pytest.raises(LimitUnavailable, match=r"memory.*lets this process make no group \(No such file"):
        Cgroup.create(Limits(memory=MIB), Hierarchy({"memory": gone}, None, None))
    assert Cgroup.create(Limits(), Hierarchy({"memory": gone}, None, None)).paths == []


def test_a_sweep_leaves_the_living(tmp_path: Path) -> None:
    there = Hierarchy({"memory": tmp_path}, None, None)
    group = Cgroup.create(Limits(), there)
    (dead := tmp_path / ("pybuild-" + "0" * 16)).mkdir()
    (other := tmp_path / "pybuild-other").mkdir()
    assert sweep(there) == [dead]
    assert (dead.exists(), other.exists(), group.paths[0].exists()) == (False, True, True)
    group.remove()
    assert not group.paths[0].exists()


@pytest.mark.parametrize("number", [-1, 2**32 - 1, 2**32])
def test_no_such_user(number: int) -> None:
    for identity in ({"uid": number}, {"gid": number}, {"groups": (number,)}):
        with pytest.raises(ValueError, match="no user or group number"):
            Identity(**identity)


def test_sandboxes_and_mounts_that_make_no_sense(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="absolute path"):
        Mount("etc", tmp_path)
    with pytest.raises(ValueError, match="needs a source"):
        Mount("/etc")
    with pytest.raises(ValueError, match="takes no source"):
        Mount("/etc", tmp_path, kind="tmpfs")
    with pytest.raises(ValueError, match="needs a command"):
        Sandbox(tmp_path, ())
    with pytest.raises(ValueError, match="unknown capabilities: FLY"):
        Sandbox(tmp_path, ("true",), capabilities=frozenset({"FLY", "KILL"}))
    for more in ({"args": ("a\0b",)}, {"env": {"A": "\0"}}, {"env": {"A\0": ""}}, {"cwd": "/\0"}):
        with pytest.raises(ValueError, match="NUL"):
            Sandbox(tmp_path, **{"args": ("true",), **more})  # type: ignore[arg-type]


@pytest.fixture
def session(tmp_path: Path) -> Hierarchy:
    """A folder that plays a group of version 2 with this process and a neighbour in it, inside an empty one."""
    own = tmp_path / "slice/session"
    own.mkdir(parents=True)
    for place, inhabitants in ((own.parent, ""), (own, f"{os.getpid()}\n1\n")):
        (place / "cgroup.type").write_text("domain\n")
        (place / "cgroup.procs").write_text(inhabitants)
        (place / "cgroup.subtree_control").write_text("")
    return Hierarchy({}, own, tmp_path)


def test_in_company_a_sibling_is_made_and_only_for_a_limit(session: Hierarchy) -> None:
    assert session.unified is not None
    own, parent = session.unified, session.unified.parent
    assert delegation.room(session, {"memory", "pids"}, set()) == own
    assert (own / "cgroup.subtree_control").read_text() == ""
    assert delegation.room(session, {"pids"}, {"pids"}) == own  # the parent has no such controller
    (parent / "cgroup.subtree_control").write_text("cpu    pids")  # a write of ours lands on the front
    assert delegation.room(session, {"pids"}, {"pids"}) == parent
    (parent / "cgroup.procs").write_text("1\n")
    assert delegation.room(session, {"pids"}, {"pids"}) == own
    assert [path.name for path in own.iterdir() if path.is_dir()] == []


def test_who_has_stepped_aside_makes_groups_where_it_was(session: Hierarchy) -> None:
    assert session.unified is not None
    own = session.unified
    (own / "cgroup.procs").write_text("")
    aside = Hierarchy({}, own / "pybuild-self", session.unified_top)
    assert delegation.room(aside, {"memory"}, {"memory"}) == own
    assert (own / "cgroup.subtree_control").read_text() == "+memory"

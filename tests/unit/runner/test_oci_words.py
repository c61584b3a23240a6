"""What config.json says, in the words of the kernel."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.bundles.runtimespec import MOUNTS
from runner.linux import MS_PRIVATE, MS_REC, NODEV, NOEXEC, NOSUID, RDONLY
from runner.oci import options, resources
from runner.oci.bundle import Bundle
from runner.oci.document import Node
from runner.oci.errors import BundleInvalid
from runner.oci.groups import _scope
from runner.oci.template import config

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def test_options() -> None:
    found = options.read(
        ["ro", "nosuid", "dev", "rbind", "rprivate", "size=64k", "rw", "ro", "rnoexec", "defaults", "sync"]
    )
    assert (found.add, found.clear) == (RDONLY | NOSUID, NODEV)
    assert found.bind and found.recursive and found.propagation == MS_PRIVATE | MS_REC
    assert found.deep_add == NOEXEC and found.data == {b"size": b"64k", b"sync": None}


def test_the_last_word_on_access_times_counts() -> None:
    found = options.read(["noatime", "strictatime"])
    assert found.add == options.STRICTATIME and found.clear == options.ATIME & ~options.STRICTATIME


RESOURCES = {
    "memory": {"limit": 1 << 20, "swap": 3 << 20, "reservation": -1},
    "cpu": {"shares": 1024, "quota": 50000, "period": 100000, "cpus": "0-1"},
    "pids": {"limit": -1},
    "blockIO": {"weight": 300, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1000}]},
    "hugepageLimits": [{"pageSize": "2MB", "limit": 5}],
    "unified": {"memory.high": "7"},
}


def test_limits_of_both_versions() -> None:
    old = {one.file: one.value for one in resources.legacy(Node(RESOURCES))}
    assert old["memory.limit_in_bytes"] == str(1 << 20) and old["memory.memsw.limit_in_bytes"] == str(3 << 20)
    assert old["cpu.cfs_quota_us"] == "50000" and old["blkio.throttle.read_bps_device"] == "8:0 1000"
    assert old["pids.max"] == "max" and old["hugetlb.2MB.limit_in_bytes"] == "5"
    new = {one.file: one.value for one in resources.unified(Node(RESOURCES))}
    assert new["memory.max"] == str(1 << 20) and new["memory.swap.max"] == str(2 << 20) and new["memory.low"] == "max"
    assert new["cpu.max"] == "50000 100000" and new["cpu.weight"] == "100" and new["io.max"] == "8:0 rbps=1000"
    assert new["memory.high"] == "7" and new["hugetlb.2MB.max"] == "5"


@pytest.mark.parametrize(
    "asked",
    [
        {"memory": {"swappiness": 5}},
        {"memory": {"limit": 10, "swap": 5}},
        {"unified": {"../x": "1"}},
        {"unified": {"cgroup.procs": "1"}},
        {"hugepageLimits": [{"pageSize": "../2MB", "limit": 5}]},
    ],
)
def test_limits_that_version_two_lacks(asked: dict[str, object]) -> None:
    with pytest.raises(BundleInvalid):
        list(resources.unified(Node(asked)))


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (("system.slice", "x", "1"), "/system.slice/x-1.scope"),
        (("a-b.slice", "", "c"), "/a.slice/a-b.slice/c.scope"),
        (("-.slice", "x", "y.slice"), "/y.slice"),
    ],
)
def test_scopes_of_systemd(words: tuple[str, str, str], path: str) -> None:
    assert _scope(*words) == path


@given(st.sampled_from(["process", "root", "mounts", "linux", "hooks", "hostname", "annotations"]), JSON)
def test_whatever_is_there_is_read_or_refused(key: str, value: object) -> None:
    text = {**config("1.0.2", MOUNTS), key: value}
    try:
        Bundle.of(Path("/"), Node(text))
    except BundleInvalid as refused:
        assert str(refused).startswith("config.json: ")

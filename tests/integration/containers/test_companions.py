"""Containers among the processes of another one: what they see, whose users they have, how both end."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.containers.conftest import LOOP, Detached
from tests.support.command import Pybuild
from tests.support.soon import soon

pytestmark = pytest.mark.root
ALONE = ("--network", "none")
Inspected = Callable[[str], dict[str, Any]]


def namespace(pid: int, kind: str) -> str:
    return os.readlink(f"/proc/{pid}/ns/{kind}")


@pytest.mark.parametrize("users", ["auto", "host", "keep-id", "map"])
def test_one_sees_the_processes_and_has_the_users_of_the_other(
    detached: Detached, shared_pybuild: Pybuild, inspected: Inspected, users: str
) -> None:
    numbers = ("--uidmap", "0:300000:65536") if users == "map" else ()
    first = detached("exec sleep 1000", *ALONE, "--userns", users, *numbers)
    second = detached(LOOP, *ALONE, "--pid", f"container:{first}")
    one, two = (inspected(name)["State"]["Pid"] for name in (first, second))
    assert namespace(one, "pid") == namespace(two, "pid")
    assert namespace(one, "user") == namespace(two, "user")
    assert (namespace(one, "user") == namespace(os.getpid(), "user")) is (users == "host")
    for kind in ("mnt", "net", "ipc", "uts", "cgroup"):
        assert namespace(one, kind) != namespace(two, kind)
    script = "tr '\\0' ' ' </proc/1/cmdline; touch /made; stat -c %u:%g /made; cat /proc/self/uid_map"
    said = shared_pybuild.text("exec", second, "sh", "-c", script).split("\n")
    assert said[0] == "sleep 1000 0:0"
    assert said[1:] == shared_pybuild.text("exec", first, "cat", "/proc/self/uid_map").split("\n")
    assert "sleep 1000" not in shared_pybuild.text("top", second)


def test_they_end_together_and_one_alone(detached: Detached, shared_pybuild: Pybuild, inspected: Inspected) -> None:
    first = detached("exec sleep 1000", *ALONE)
    second = detached("sleep 2000 & exec sleep 2000", *ALONE, "--pid", f"container:{first}")
    shared_pybuild("stop", "-t", "0", second)
    assert "sleep 2000" not in shared_pybuild.text("exec", first, "ps"), "what it left behind goes with its groups"
    shared_pybuild("start", second)
    shared_pybuild("restart", "-t", "0", first)
    assert soon(lambda: inspected(second)["State"]["Status"] == "exited")
    assert inspected(second)["State"]["ExitCode"] == 137
    shared_pybuild("start", second)
    assert namespace(inspected(first)["State"]["Pid"], "pid") == namespace(inspected(second)["State"]["Pid"], "pid")
    assert inspected(second)["HostConfig"]["PidMode"] == f"container:{inspected(first)['Id']}"
    shared_pybuild("kill", first)
    assert soon(lambda: inspected(second)["State"]["Status"] == "exited")
    assert "is not running" in shared_pybuild("start", second, code=1).stderr


def test_with_its_network_and_the_right_to_trace(detached: Detached, shared_pybuild: Pybuild) -> None:
    first = detached("echo secret >/only-here; exec sleep 1000", "--network", "none")
    flags = ("--pid", f"container:{first}", "--network", f"container:{first}", "--cap-add", "SYS_PTRACE", "--init")
    assert soon(lambda: shared_pybuild("exec", first, "test", "-s", "/only-here", code=None).returncode == 0)
    script = "cat /proc/1/root/only-here; [ $(readlink /proc/1/ns/net) = $(readlink /proc/self/ns/net) ] && echo same"
    said = shared_pybuild.text("run", "--rm", *flags, "busybox", "sh", "-c", script)
    assert said.split() == ["secret", "same"]
    without = (*ALONE, "--pid", f"container:{first}", "--cap-drop", "SYS_PTRACE", "-u", "1000")
    done = shared_pybuild("run", "--rm", *without, "busybox", "cat", "/proc/1/root/only-here", code=1)
    assert "denied" in done.stderr

"""`lsns` and `nsenter` beside util-linux's."""

import json
import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.command import Pybuild
from tests.support.peers import need

pytestmark = pytest.mark.root
KINDS = {"mnt", "uts", "ipc", "pid", "net", "cgroup", "user"}


@pytest.fixture(scope="module")
def web(shared_pybuild: Pybuild) -> Iterator[int]:
    """A running container without a network; its first process."""
    shared_pybuild(
        "run", "-d", "--name", "web", "--network", "none", "--hostname", "inside", "busybox", "sleep", "1000"
    )
    yield int(shared_pybuild.text("inspect", "-f", "{{.State.Pid}}", "web"))
    shared_pybuild("rm", "-f", "web")


def test_lsns_says_what_util_linux_says(shared_pybuild: Pybuild, web: int) -> None:
    lsns = [need("lsns", "util-linux"), "--json", "--output", "NS,TYPE,NPROCS,PID,USER,COMMAND", "--task", str(web)]
    theirs = json.loads(subprocess.run(lsns, capture_output=True, check=True).stdout)["namespaces"]
    expected = {(str(one["ns"]), one["type"], one["user"]) for one in theirs if one["pid"] == web}
    rows = [json.loads(line) for line in shared_pybuild.text("lsns", "--format", "json", "web").splitlines()]
    assert {(row["NS"], row["Type"], row["User"]) for row in rows} == expected
    assert {row["Type"] for row in rows} == KINDS
    assert all(row["PID"] == str(web) and row["NProcs"] == "1" and row["Containers"] == "web" for row in rows)
    assert all(row["Command"] == "sleep 1000" for row in rows)
    table = shared_pybuild.text("lsns", "-t", "net").splitlines()
    assert table[0].split() == ["NS", "TYPE", "NPROCS", "PID", "USER", "COMMAND", "CONTAINERS"]
    assert table[1].split()[:2] == [str(os.stat(f"/proc/{web}/ns/net").st_ino), "net"] and len(table) == 2
    assert len(shared_pybuild.text("lsns", "-a", "web").splitlines()) > len(rows) + 1


@pytest.mark.parametrize(
    ("flags", "command"),
    [
        (["-n"], ["readlink", "/proc/self/ns/net"]),
        (["--net", "--uts"], ["hostname"]),
        (["-m"], ["/bin/cat", "/etc/hostname"]),
        (["-p", "-m"], ["/bin/sh", "-c", "tr '\\0' ' ' < /proc/1/cmdline"]),
        (["-u", "-i", "-n", "-p", "-m", "-C"], ["/bin/pwd"]),
        (["-n"], ["sh", "-c", "exit 7"]),
        (["-n"], ["sh", "-c", "kill -9 $$"]),
        (["-n"], ["nosuch"]),
        (["-n"], ["/etc/passwd"]),
    ],
)
def test_nsenter_does_what_util_linux_does(
    flags: list[str], command: list[str], shared_pybuild: Pybuild, web: int
) -> None:
    nsenter = [need("nsenter", "util-linux"), "--target", str(web), *flags, "--", *command]
    theirs = subprocess.run(nsenter, capture_output=True, text=True)
    ours = shared_pybuild("nsenter", "web", *flags, "--", *command, code=None)
    code = theirs.returncode if theirs.returncode >= 0 else 128 - theirs.returncode
    mine = ours.returncode if ours.returncode >= 0 else 128 - ours.returncode
    assert (mine, ours.stdout) == (code, theirs.stdout)


def test_who_is_not_there(shared_pybuild: Pybuild, web: int) -> None:
    assert "no such container" in shared_pybuild("nsenter", "nosuch", "-n", "--", "true", code=1).stderr
    assert "name the namespaces" in shared_pybuild("nsenter", "web", "--", "true", code=2).stderr

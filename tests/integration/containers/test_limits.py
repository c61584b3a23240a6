"""Limits and walls as `run` and `create` take them: what is asked for holds, or is refused before anything begins."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import Pybuild

pytestmark = pytest.mark.root


@pytest.fixture
def made(shared_pybuild: Pybuild) -> Iterator[str]:
    """A name for a container that is removed afterwards."""
    yield "limited"
    shared_pybuild("rm", "-f", "limited", code=None)


def run(command: Pybuild, *words: str | Path, script: str = "true", code: int = 0) -> str:
    return command("run", "--rm", *words, "busybox", "sh", "-c", script, code=code).stdout


def test_limits_of_processes(shared_pybuild: Pybuild) -> None:
    script = "ulimit -n; ulimit -Hn; ulimit -c; cat /proc/self/oom_score_adj"
    flags = ["--ulimit", "nofile=64:128", "--ulimit", "core=0", "--oom-score-adj", "77"]
    assert run(shared_pybuild, *flags, script=script).split() == ["64", "128", "0", "77"]


def test_what_was_asked_for_is_told(shared_pybuild: Pybuild, made: str) -> None:
    flags = (
        "--memory 64m --memory-swap 64m --memory-reservation 32m --cpu-quota 50000 --cpu-period 100000 --pids-limit 50 "
        "--ulimit nofile=64:128 --device /dev/loop-control:/dev/loops:r --sysctl kernel.msgmax=9000 --group-add 7 "
        "--network none --tmpfs /m:size=1m,mode=700"
    ).split()
    shared_pybuild("create", "--name", made, *flags, "busybox", "true")
    host = json.loads(shared_pybuild.text("inspect", made))[0]["HostConfig"]
    assert (host["Memory"], host["MemoryReservation"], host["CpuQuota"], host["PidsLimit"]) == (
        64 << 20, 32 << 20, 50000, 50,
    )  # fmt: skip
    assert host["Ulimits"] == [{"Name": "nofile", "Soft": 64, "Hard": 128}]
    assert host["Devices"][0]["PathInContainer"] == "/dev/loops"
    assert (host["Sysctls"], host["GroupAdd"]) == ({"kernel.msgmax": "9000"}, ["7"])
    assert host["Tmpfs"] == {"/m": "rw,noexec,size=1048576,mode=700"}
    shared_pybuild("start", "-a", made)


def test_limits_hold_for_further_commands(shared_pybuild: Pybuild, made: str) -> None:
    shared_pybuild(
        "run", "-d", "--name", made, "--ulimit", "nofile=64:128", "--group-add", "7", "busybox", "sleep", "99"
    )
    assert shared_pybuild.text("exec", made, "sh", "-c", "ulimit -n; id -G").split() == ["64", "0", "7"]


def test_sysctls_are_those_of_its_own_namespaces(shared_pybuild: Pybuild) -> None:
    before = Path("/proc/sys/kernel/msgmax").read_text()
    flags = ["--network", "none", "--sysctl", "kernel.msgmax=9123", "--sysctl", "net.ipv4.ip_forward=1"]
    script = "cat /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_forward; echo 1 2>/dev/null >/proc/sys/kernel/msgmax"
    assert run(shared_pybuild, *flags, script=script, code=1).split() == ["9123", "1"]
    assert Path("/proc/sys/kernel/msgmax").read_text() == before


def test_masks(shared_pybuild: Pybuild) -> None:
    readable = (
        "read -r line </proc/timer_list && echo told; (echo 8192 >/proc/sys/kernel/msgmax) 2>/dev/null && echo writable"
    )
    assert run(shared_pybuild, script=readable + "; true") == ""
    host = ("--userns", "host", "--security-opt")  # the kernel tells of its timers to nobody else
    assert "told" in run(shared_pybuild, *host, "unmask=/proc/timer_*", script=readable + "; true")
    assert run(shared_pybuild, *host, "systempaths=unconfined", script=readable).split() == ["told", "writable"]
    assert run(shared_pybuild, "--security-opt", "systempaths=unconfined", script=readable).split() == ["writable"]
    script = "cat /etc/passwd; ls /home; ls /etc/passwd"
    masked = run(shared_pybuild, "--security-opt", "mask=/etc/passwd:/home:/not/there", script=script)
    assert masked == "/etc/passwd\n"


def test_privileged(shared_pybuild: Pybuild) -> None:
    script = (
        "mkdir /m; mount -t tmpfs x /m && echo mounted; ls /dev/loop-control; "
        "read -r line </proc/timer_list && echo told; "
        "touch /sys/fs/cgroup/x 2>&1 | grep -c 'ead-only'; grep Seccomp: /proc/self/status; mknod /l c 10 237 && "
        "dd if=/l of=/dev/null count=0 2>/dev/null && echo opened"
    )
    said = run(shared_pybuild, "--privileged", script=script)
    assert said.split() == ["mounted", "/dev/loop-control", "told", "0", "Seccomp:", "0", "opened"]
    refused = shared_pybuild("run", "--rm", "--privileged", "--userns", "auto", "busybox", "true", code=125).stderr
    assert "has the host's users" in refused
    assert run(shared_pybuild, "--device", "/dev/null", script="echo x >/dev/null && echo well") == "well\n"


def test_mounts_of_every_spelling(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("of the host\n")
    script = "cat /a/file; cp /bin/busybox /b/; /b/busybox true; echo $?; touch /a/y; echo $?"
    mounts = ["--mount", f"type=bind,src={tmp_path},dst=/a,readonly", "--tmpfs", "/b"]
    assert run(shared_pybuild, *mounts, script=script).split("\n")[:3] == ["of the host", "126", "1"]
    mounts = [
        "--mount",
        f"type=bind,source={tmp_path},target=/a",
        "--mount",
        "type=tmpfs,destination=/b,tmpfs-mode=700",
    ]
    assert run(shared_pybuild, *mounts, script=script).split("\n")[:3] == ["of the host", "126", "0"]  # as docker
    mounts[2:] = ["--tmpfs", "/b:exec"]
    assert run(shared_pybuild, *mounts, script=script).split("\n")[:3] == ["of the host", "0", "0"]


PROFILE = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["chmod", "fchmodat", "fchmodat2"],
           "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]}  # fmt: skip


def test_a_filter_of_ones_own(shared_pybuild: Pybuild, tmp_path: Path, made: str) -> None:
    (tmp_path / "profile.json").write_text(json.dumps(PROFILE))
    option = ["--security-opt", f"seccomp={tmp_path}/profile.json"]
    said = shared_pybuild("run", "--rm", *option, "busybox", "chmod", "700", "/etc", code=1).stderr
    assert "not supported" in said
    shared_pybuild("run", "-d", "--name", made, *option, "busybox", "sleep", "99")
    (tmp_path / "profile.json").unlink()
    assert "not supported" in shared_pybuild("exec", made, "chmod", "700", "/etc", code=1).stderr


def test_who_wants_no_new_rights(shared_pybuild: Pybuild) -> None:
    script = "grep NoNewPrivs /proc/self/status"
    for word, number in [("no-new-privileges", 1), ("no-new-privileges:true", 1), ("no-new-privileges=false", 0)]:
        assert run(shared_pybuild, "--security-opt", word, script=script).split() == ["NoNewPrivs:", str(number)]


REFUSED = [
    (["--cpuset-cpus", "999"], "cpuset-cpus"),
    (["--ulimit", "nofile=5:4"], "cannot be more"),
    (["--ulimit", "speed=1"], "no ulimit"),
    (["--ulimit", "nofile=999999999"], "nofile"),
    (["--memory-swappiness", "101"], "between 0 and 100"),
    (["--memory", "16m", "--memory-reservation", "32m"], "softer"),
    (["--oom-kill-disable"], "needs a limit on memory"),
    (["--cpus", "1", "--cpu-quota", "1000"], "leave out either"),
    (["--blkio-weight", "5"], "between 10 and 1000"),
    (["--device-read-bps", "/dev/null:1mb"], "no block device"),
    (["--device-write-iops", "/dev/nope:1"], "No such file"),
    (["--device", "/etc/passwd"], "no device"),
    (["--device", "/dev/nope"], "No such file"),
    (["--device", "/dev/null:/etc/x"], "below /dev"),
    (["--device", "vendor.example/class=one"], "no description in /etc/cdi"),
    (["--device-cgroup-rule", "c 1 rwm"], "no device rule"),
    (["--sysctl", "vm.swappiness=1"], "whole host"),
    (["--sysctl", "net.ipv4.ip_forward=1", "--network", "host"], "host's network"),
    (["--sysctl", "kernel/../vm=1"], "NAME=VALUE"),
    (["--security-opt", "seccomp=/nope.json"], "No such file"),
    (["--security-opt", "seccomp=/etc/passwd"], "no JSON"),
    (["--security-opt", "apparmor=strict"], "AppArmor"),
    (["--security-opt", "label=level:s0"], "SELinux"),
    (["--security-opt", "magic"], "unknown"),
    (["--security-opt", "mask=etc"], "absolute"),
    (["--mount", "type=bind,source=/etc,target=/a,bind-propagation=shared"], "shared"),
    (["--mount", "type=bind,source=/etc,target=/a,color=red"], "color"),
    (["--tmpfs", "/a:suid"], "never granted"),
    (["-v", "/etc:/a:rshared"], "rshared"),
    (["--group-add", "nobody-here"], "nobody-here"),
]


@pytest.mark.parametrize(("flags", "sentence"), REFUSED)
def test_what_cannot_be_is_refused(shared_pybuild: Pybuild, flags: list[str], sentence: str) -> None:
    done = shared_pybuild("run", "--rm", *flags, "busybox", "echo", "ran", code=125)
    assert sentence in done.stderr
    assert done.stdout == ""


def test_a_build_refuses_before_its_first_step(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nCOPY Dockerfile /d\nRUN echo ran\n")
    for flags in (["--cpuset-cpus", "999"], ["--ulimit", "nofile=999999999"], ["--device-read-bps", "/dev/null:1"]):
        done = shared_pybuild("build", "--progress", "plain", *flags, tmp_path, code=None)
        assert done.returncode != 0
        assert "#1" not in done.stderr
        assert "error:" in done.stderr


def test_limits_of_a_build(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN echo $(ulimit -n) $(cat /proc/self/oom_score_adj)\n")
    flags = [
        "--ulimit",
        "nofile=64:128",
        "--oom-score-adj",
        "55",
        "--memory-reservation",
        "32m",
        "--cpu-quota",
        "90000",
    ]
    assert " 64 55" in shared_pybuild("build", "--no-cache", "--progress", "plain", *flags, tmp_path).stderr

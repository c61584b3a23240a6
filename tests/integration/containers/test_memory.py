"""Containers that run out of memory: the warning, the hook, the one that stands still until it has more."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Pybuild
from tests.support.soon import soon

pytestmark = pytest.mark.root

EATER = "a=0123456789abcdef; i=0; while [ $i -lt 21 ]; do a=$a$a; i=$((i+1)); done; echo ${#a}"
TIGHT = ("--memory", "24m", "--memory-swap", "24m")


@pytest.fixture
def name(shared_pybuild: Pybuild) -> Iterator[str]:
    """A name for a container that is removed afterwards."""
    yield "hungry"
    shared_pybuild("rm", "-f", "hungry", code=None)


def state(command: Pybuild, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(command.text("inspect", name))[0]["State"]
    return found


def test_who_goes_on_without_its_child_is_warned(shared_pybuild: Pybuild, name: str) -> None:
    done = shared_pybuild("run", "--name", name, *TIGHT, "busybox", "sh", "-c", f"sh -c '{EATER}'; true")
    assert "warning: memory ran out" in done.stderr
    assert state(shared_pybuild, name)["OOMKilled"] is True
    assert "warning" not in shared_pybuild("run", "--rm", "busybox", "true").stderr


def test_a_hook_gives_more_and_all_is_well(shared_pybuild: Pybuild, name: str, tmp_path: Path) -> None:
    update = " ".join(shared_pybuild.command("update", "--memory", "400m", "--memory-swap", "400m"))
    hook = f"env >{tmp_path}/told; {update} $PYBUILD_CONTAINER"
    flags = ["--oom-policy", "freeze", "--on-oom", hook]
    done = shared_pybuild("run", "--name", name, *TIGHT, *flags, "busybox", "sh", "-c", EATER)
    assert done.stdout == f"{16 << 21}\n"
    assert "stands still" in done.stderr
    assert "goes on" in done.stderr
    told = dict(line.partition("=")[::2] for line in (tmp_path / "told").read_text().splitlines())
    assert (told["PYBUILD_OOM"], told["PYBUILD_CONTAINER_NAME"]) == ("frozen", name)
    assert told["PYBUILD_MEMORY_LIMIT"] == str(24 << 20)
    assert state(shared_pybuild, name)["OOMKilled"] is False


def test_who_stands_still_is_paused_and_can_be_stopped(shared_pybuild: Pybuild, name: str) -> None:
    words = ["run", "-d", "--name", name, *TIGHT, "--oom-policy", "freeze", "busybox", "sh", "-c", EATER]
    shared_pybuild(*words)
    deadline = time.monotonic() + 60
    while state(shared_pybuild, name)["Status"] != "paused" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert state(shared_pybuild, name)["Status"] == "paused"
    shared_pybuild("rm", "-f", name)


def test_a_hook_is_told_of_a_kill(shared_pybuild: Pybuild, name: str, tmp_path: Path) -> None:
    """Also when the container ends at once; what the hook does may go on after that."""
    told = tmp_path / "told"
    flags = ["--on-oom", f"echo $PYBUILD_OOM >{told}.part; mv {told}.part {told}"]
    shared_pybuild("run", "--name", name, *TIGHT, *flags, "busybox", "sh", "-c", f"sh -c '{EATER}'; true")
    assert soon(told.exists)
    assert told.read_text() == "killed\n"


def test_a_build_warns_although_the_shell_went_on(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM busybox\nRUN sh -c '{EATER}'; true\n")
    done = shared_pybuild("build", "--progress", "plain", *TIGHT, tmp_path)
    assert "warning: memory ran out" in done.stderr
    assert "Dockerfile:2" in done.stderr


def test_what_a_step_used_is_kept_with_it(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN dd if=/dev/zero of=/big bs=1M count=9; sync\nLABEL a=b\n")
    first = shared_pybuild("build", "--progress", "plain", "-t", "used", tmp_path).stderr
    again = shared_pybuild("build", "--progress", "plain", "-t", "used", tmp_path).stderr
    (line,) = (line for line in first.splitlines() if line.startswith("#2 DONE"))
    assert "memory" in line
    assert "tasks" in line
    assert f"#2 CACHED{line[line.index(' (') :]}" in again
    table = shared_pybuild.text("history", "--usage", "used").splitlines()
    assert table[0].split()[-6:] == ["TIME", "CPU", "MEMORY", "DISK", "R/W", "TASKS"]
    rows = [json.loads(row) for row in shared_pybuild.text("history", "--format", "json", "used").splitlines()]
    (row,) = (row for row in rows if "dd if=" in row["CreatedBy"])
    assert int(row["Tasks"]) >= 2
    assert row["Disk"].endswith("MB")
    shared_pybuild("rmi", "used")


def test_nothing_stays_of_a_build_whose_maker_was_killed_while_frozen(shared_pybuild: Pybuild, name: str) -> None:
    words = shared_pybuild.command(
        "run", "--name", name, *TIGHT, "--oom-policy", "freeze", "busybox", "sh", "-c", EATER
    )
    process = subprocess.Popen(words, env=shared_pybuild.environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert "stands still" in process.stderr.readline()
    pid = state(shared_pybuild, name)["Pid"]
    process.kill()
    process.wait()
    process.stderr.close()
    shared_pybuild("run", "--rm", "busybox", "true")  # it sweeps
    deadline = time.monotonic() + 60
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(f"/proc/{pid}").exists()

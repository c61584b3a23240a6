"""A fork bomb, a memory bomb and an endless sleep: the step ends as promised, the host is unharmed, nothing is left."""

import json
import time
from pathlib import Path

import pytest

from tests.support.command import Pybuild
from tests.support.residue import leaked

pytestmark = pytest.mark.root


def context(folder: Path, run: str) -> Path:
    """A context whose Dockerfile has one RUN."""
    (folder / "Dockerfile").write_text(f"FROM busybox\nRUN {run}\n")
    return folder


def test_fork_bomb(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    bomb = context(tmp_path, "bomb() { bomb | bomb; }; bomb")
    with leaked(shared_pybuild.root) as left:
        done = shared_pybuild("build", "--pids-limit", "40", "--timeout", "20", bomb, code=None)
    assert done.returncode != 0
    assert "fork" in done.stderr
    assert not left


def test_memory_bomb(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    bomb = context(tmp_path, "exec dd if=/dev/zero of=/dev/null bs=500M count=1")
    with leaked(shared_pybuild.root) as left:
        done = shared_pybuild("build", "--memory", "64m", "--memory-swap", "64m", bomb, code=137)
    assert "memory" in done.stderr
    assert not left


def test_endless_sleep(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    sleeper = context(tmp_path, "sleep 3600 & sleep infinity")
    began = time.monotonic()
    with leaked(shared_pybuild.root) as left:
        done = shared_pybuild("build", "--timeout", "2", sleeper, code=None)
    assert done.returncode != 0
    assert time.monotonic() - began < 30
    assert "time" in done.stderr
    assert not left


def test_cpu_quota_is_kept(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    """Half a processor: a loop that burns one second of CPU takes about two."""
    burner = context(tmp_path, "timeout 2 sh -c 'while :; do :; done'; cat /proc/self/cgroup; times || true")
    done = shared_pybuild("build", "--no-cache", "--cpus", "0.5", "--progress", "json", burner)
    events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    spent = [event["usage"] for event in events if event.get("usage")]
    used = [usage["user_seconds"] + usage["system_seconds"] for usage in spent]
    assert used, done.stderr
    assert used[-1] < 1.5


@pytest.mark.parametrize(
    ("command", "code", "word"),
    [
        ("exit 3", 3, "3"),
        ('["/no/such/program"]', 127, "not found"),
        ('["/etc/passwd"]', 126, "execut"),
        ("sh -c 'kill -9 $$'; exit $?", 137, "137"),
        ("sh -c 'kill -15 $$'; exit $?", 143, "143"),
    ],
)
def test_a_failing_run_ends_the_build_with_its_own_code(
    shared_pybuild: Pybuild, tmp_path: Path, command: str, code: int, word: str
) -> None:
    done = shared_pybuild("build", context(tmp_path, command), code=code)
    assert word in done.stderr
    assert "Dockerfile:2" in done.stderr

"""Several commands at once on one container."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.containers.conftest import Detached
from tests.support.command import Pybuild

pytestmark = pytest.mark.root


def patched(command: Pybuild, script: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the program after some Python, which sees to it that somebody else comes between."""
    whole = (
        f"import os, subprocess, sys\n{script}\nfrom pybuild.__main__ import main\nsys.argv[0] = 'pybuild'\nmain()\n"
    )
    return subprocess.run(
        [sys.executable, "-P", "-c", whole, *words],
        env={**command.environment, "PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
    )


def test_what_is_begun_in_the_background_is_claimed_from_the_beginning(shared_pybuild: Pybuild) -> None:
    """Nobody prunes it before its own process has come so far."""
    script = """
from pybuild.commands import run
begin = run.begin
def late(context, container, lock):
    with container.claim() as mine:
        assert not mine
    begin(context, container, lock)
    os.close(lock)
    os.open(os.devnull, os.O_RDONLY)  # which has its number
    with container.claim() as mine:
        assert not mine
run.begin = late
"""
    done = patched(shared_pybuild, script, "run", "-d", "--name", "claimed", "busybox", "sleep", "1000")
    assert done.returncode == 0, done.stderr
    shared_pybuild("rm", "-f", "claimed")


def test_what_is_started_meanwhile_is_removed_by_force(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    shared_pybuild("create", "--name", "starting", "busybox", "sleep", "1000")
    script = """
from builder.containers import Containers
remove = Containers.remove
def late(*words, **more):
    Containers.remove = remove
    subprocess.run([sys.executable, "-m", "pybuild", "start", "starting"], check=True)
    remove(*words, **more)
Containers.remove = late
"""
    done = patched(shared_pybuild, script, "rm", "-f", "starting")
    assert (done.returncode, done.stdout) == (0, "starting\nstarting\n"), done.stderr
    assert shared_pybuild("inspect", "starting", code=1).stdout.strip() in ("", "[]")


def test_who_restarts_what_another_starts_restarts_it(shared_pybuild: Pybuild, detached: Detached) -> None:
    name = detached()
    shared_pybuild("stop", "-t", "0", name)
    script = f"""
from builder.containers.container import Container
beginning = Container.beginning
def late(self):
    Container.beginning = beginning
    subprocess.run([sys.executable, "-m", "pybuild", "start", "{name}"], check=True)
    return beginning(self)
Container.beginning = late
"""
    done = patched(shared_pybuild, script, "restart", "-t", "0", name)
    assert (done.returncode, done.stdout) == (0, f"{name}\n{name}\n"), done.stderr


def test_who_looks_after_it_is_killed_before_it_runs(shared_pybuild: Pybuild) -> None:
    script = """
spawn = os.posix_spawn
def killed(*words, **more):
    pid = spawn(*words, **more)
    os.kill(pid, 9)
    return pid
os.posix_spawn = killed
"""
    done = patched(shared_pybuild, script, "run", "-d", "--name", "unlucky", "busybox", "sleep", "1000")
    assert done.returncode == 125
    assert done.stderr == "error: it did not start: what looks after it was ended by signal 9\n"
    assert shared_pybuild.text("inspect", "-f", "{{.State.Status}}", "unlucky") == "created"
    shared_pybuild("start", "unlucky")
    shared_pybuild("rm", "-f", "unlucky")

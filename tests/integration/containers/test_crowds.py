"""Several commands at once on one container."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from builder.containers import Containers, control
from builder.containers.errors import ContainerState
from layers import Store
from tests.integration.containers.conftest import Detached
from tests.integration.containers.test_life import monitor
from tests.support.command import Pybuild
from tests.support.soon import settled, soon

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


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        ("builder.containers.sandboxes.who", ("exec", "NAME", "true")),
        ("runner.entering.shared_not", ("exec", "NAME", "true")),
        ("builder.containers.copying.Root", ("cp", "NAME:/bin/busybox", "/dev/null")),
    ],
)
def test_what_has_just_ended_is_said_to_have_ended(
    shared_pybuild: Pybuild, detached: Detached, moment: str, words: tuple[str, ...]
) -> None:
    name = detached()
    module, _, what = moment.rpartition(".")
    script = f"""
import {module} as module
former = module.{what}
def late(*given, **more):
    subprocess.run([sys.executable, "-m", "pybuild", "kill", "{name}"], check=True, stdout=subprocess.DEVNULL)
    return former(*given, **more)
module.{what} = late
"""
    done = patched(shared_pybuild, script, *(word.replace("NAME", name) for word in words))
    assert done.returncode in (1, 125)
    assert "ended" in done.stderr and "/proc/" not in done.stderr


def test_who_commits_and_is_killed_lets_it_go_on(shared_pybuild: Pybuild, detached: Detached) -> None:
    name = detached("i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done")
    script = """
from builder.containers import changes
changes.commit = lambda *_, **__: os.kill(os.getpid(), 9)
"""
    assert patched(shared_pybuild, script, "commit", name).returncode == -9
    before = len(shared_pybuild.text("logs", name).split())
    assert soon(lambda: len(shared_pybuild.text("logs", name).split()) > before + 3)
    shared_pybuild("exec", name, "true")


def test_it_stands_still_until_the_last_has_committed(shared_pybuild: Pybuild, detached: Detached) -> None:
    name = detached("i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done")

    def count() -> int:
        return len(shared_pybuild.text("logs", name).split())

    with Store.open(shared_pybuild.root) as store:
        container = Containers(store).get(name)
        with control.frozen(container, wanted=True):
            with control.frozen(container, wanted=True):
                pass
            before = settled(count)
            time.sleep(0.1)
            assert count() == before
        assert soon(lambda: count() > before + 3)
        with control.frozen(container, wanted=True):
            assert control.kill(container).exit_code == 137


def test_what_stood_still_when_its_supervisor_was_killed_is_gone_when_it_is_removed(
    shared_pybuild: Pybuild, detached: Detached
) -> None:
    """What is frozen ends only when it is let go on."""
    name = detached()
    pid = int(shared_pybuild.text("inspect", "-f", "{{.State.Pid}}", name))
    shared_pybuild("pause", name)
    os.kill(monitor(shared_pybuild.text("inspect", "-f", "{{.Id}}", name)), signal.SIGKILL)
    assert soon(lambda: shared_pybuild.text("inspect", "-f", "{{.State.Status}}", name) == "exited")
    shared_pybuild("rm", "-f", name)
    assert soon(lambda: not Path(f"/proc/{pid}").exists())


def test_who_does_not_answer_keeps_nobody_from_removing(
    shared_pybuild: Pybuild, detached: Detached, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builder.containers.line.PATIENCE", 0.5)
    name = detached()
    deaf = monitor(shared_pybuild.text("inspect", "-f", "{{.Id}}", name))
    os.kill(deaf, signal.SIGSTOP)
    with Store.open(shared_pybuild.root) as store:
        container = Containers(store).get(name)
        with pytest.raises(ContainerState, match="has not answered"):
            control.send(container, signal.SIGTERM)
        assert control.kill(container).exit_code == 137
    shared_pybuild("rm", name)

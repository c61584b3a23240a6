"""Containers as a person uses them: run, exec, stop, cp, commit, a real terminal, exit codes."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pexpect
import pytest

from tests.support.command import Pybuild
from tests.support.residue import leaked
from tests.support.soon import in_front, soon

pytestmark = pytest.mark.root


@pytest.fixture
def web(shared_pybuild: Pybuild) -> Iterator[str]:
    """A running container that says hello and waits."""
    name = f"web-{os.urandom(4).hex()}"
    shared_pybuild(
        "run",
        "-d",
        "--name",
        name,
        "busybox",
        "sh",
        "-c",
        "trap 'echo bye; exit 5' TERM; echo hello; while :; do sleep 0.1; done",
    )
    yield name
    shared_pybuild("rm", "-f", name)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["no-such-program"], 127),
        (["/etc/passwd"], 126),
        (["sh", "-c", "sh -c 'kill -9 $$'; exit $?"], 137),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else str(words),
)
def test_exit_codes(words: list[str], code: int, shared_pybuild: Pybuild) -> None:
    assert shared_pybuild("run", "--rm", "busybox", *words, code=None).returncode == code


def test_our_own_failures_are_125(shared_pybuild: Pybuild) -> None:
    assert "capability" in shared_pybuild("run", "--rm", "--cap-add", "NO_SUCH", "busybox", "true", code=125).stderr
    assert shared_pybuild("run", "--rm", "--pull", "never", "no/such:image", "true", code=125).stderr


def test_a_detached_life(web: str, shared_pybuild: Pybuild) -> None:
    assert web in shared_pybuild.text("ps", "--format", "{{.Names}}").splitlines()
    assert shared_pybuild.text("exec", "-e", "A=b", "-w", "/etc", web, "sh", "-c", "echo $A; pwd") == "b\n/etc"
    assert shared_pybuild("exec", web, "sh", "-c", "exit 9", code=9).stdout == ""
    shared_pybuild("stop", "-t", "5", web)
    state = json.loads(shared_pybuild.text("inspect", web))[0]["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 5)
    assert shared_pybuild.text("logs", web) == "hello\nbye"
    assert shared_pybuild.text("wait", web) == "5"
    shared_pybuild("start", web)
    assert json.loads(shared_pybuild.text("inspect", web))[0]["State"]["Running"] is True


def test_files_in_and_out_of_a_running_one(web: str, shared_pybuild: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/file").write_text("inside\n")
    shared_pybuild("cp", tmp_path / "in", f"{web}:/made")
    assert shared_pybuild.text("exec", web, "cat", "/made/file") == "inside"
    shared_pybuild("exec", web, "ln", "-s", "/etc", "/made/link")
    shared_pybuild("cp", f"{web}:/made/.", tmp_path / "out")
    assert (tmp_path / "out/file").read_text() == "inside\n"
    assert os.readlink(tmp_path / "out/link") == "/etc"
    shared_pybuild("exec", web, "ln", "-s", "/../../../../..", "/escape")
    shared_pybuild("cp", tmp_path / "in/file", f"{web}:/escape/landed")
    assert shared_pybuild.text("exec", web, "cat", "/landed") == "inside"
    assert not Path("/landed").exists()


def processes() -> dict[int, bytes]:
    """The command lines of all processes."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                found[int(entry.name)] = (entry / "cmdline").read_bytes()
    return found


def test_kill_of_the_monitor_ends_the_container_and_is_told(web: str, shared_pybuild: Pybuild) -> None:
    identity = json.loads(shared_pybuild.text("inspect", web))[0]["Id"]
    with leaked(shared_pybuild.root) as left:
        monitors = [pid for pid, line in processes().items() if b"--monitor" in line and identity.encode() in line]
        assert monitors
        for pid in monitors:
            os.kill(pid, signal.SIGKILL)
        assert soon(lambda: not json.loads(shared_pybuild.text("inspect", web))[0]["State"]["Running"])
        state = json.loads(shared_pybuild.text("inspect", web))[0]["State"]
        assert (state["Status"], state["ExitCode"]) == ("exited", 137)
        shared_pybuild("run", "--rm", "busybox", "true")  # the next start sweeps
    assert not left


def test_a_real_terminal(shared_pybuild: Pybuild) -> None:
    words = shared_pybuild.command("run", "--rm", "-ti", "busybox", "sh")
    terminal = pexpect.spawn(words[0], words[1:], env=shared_pybuild.environment, dimensions=(33, 101), timeout=90)
    terminal.expect("#")
    terminal.sendline("test -t 0 && test -t 1 && echo is-a-$((40+2))-tty; stty size; tty")
    terminal.expect("is-a-42-tty")
    terminal.expect("33 101")
    terminal.expect("/dev/pts/0")
    terminal.setwinsize(22, 66)
    terminal.sendline("until stty size | grep '22 66'; do sleep 0.1; done")
    terminal.expect("\n22 66")
    terminal.sendline("sleep 100")
    (shell,) = json.loads(shared_pybuild.text("inspect", shared_pybuild.text("ps", "-lq")))
    assert soon(lambda: in_front(shell["State"]["Pid"], "sleep"))
    terminal.sendintr()
    terminal.sendline("exit 4")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 4


def test_a_failed_step_can_be_looked_at(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN echo clue > /clue; exit 3\n")
    failed = shared_pybuild("build", tmp_path, code=3)
    name = next(word.strip(",;") for word in failed.stderr.split() if word.startswith("failed-"))
    assert "A /clue" in shared_pybuild.text("diff", name).splitlines()
    shared_pybuild("commit", name, "look")
    assert shared_pybuild.text("run", "--rm", "--entrypoint", "cat", "look", "/clue") == "clue"
    shared_pybuild("rm", name)


def test_limits_and_walls_of_run(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    said = shared_pybuild.text(
        *("run", "--rm", "--network", "none", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "-u", "1000:100"),
        *("-v", f"{tmp_path}:/data:ro", "-h", "box", "-e", "A=1", "busybox", "sh", "-c"),
        "id -u; id -g; hostname; echo $A; touch /x 2>&1; touch /data/x 2>&1; touch /tmp/x && echo tmp; "
        "ls /sys/class/net; grep CapEff /proc/self/status",
    )
    lines = said.splitlines()
    assert lines[:4] == ["1000", "100", "box", "1"]
    assert "Read-only" in lines[4]
    assert "Read-only" in lines[5]
    assert lines[6:8] == ["tmp", "lo"]
    assert lines[8].split() == ["CapEff:", "0000000000000000"]

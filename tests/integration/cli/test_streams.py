"""Standard streams that are closed, full or impatient, and other careless surroundings of a command."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.support.command import Pybuild

pytestmark = pytest.mark.root


def shell(command: Pybuild, line: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A shell's line, in which `pybuild` is the command with these words."""
    whole = line.replace("pybuild", shlex.join(command.command(*words)))
    return subprocess.run(["sh", "-c", whole], env=command.environment, capture_output=True, text=True, timeout=240)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_lead_nowhere(shared_pybuild: Pybuild, closed: str) -> None:
    """What is opened next would be theirs: a database as standard input of a container."""
    script = "cat; for fd in 0 1 2; do readlink /proc/self/fd/$fd; done; echo done"
    done = shell(shared_pybuild, f"pybuild {closed}", "run", "--rm", "-i", "busybox", "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    if ">&-" not in closed.split():
        assert [line.partition(":")[0] for line in done.stdout.split()] == ["pipe", "pipe", "pipe", "done"]
    done = shell(shared_pybuild, f"pybuild {closed}; echo $?", "run", "-d", "--rm", "busybox", "true")
    assert done.stdout.endswith("0\n") and done.stderr == ""
    assert shell(shared_pybuild, f"pybuild {closed}", "ps", "-a").returncode == 0
    assert shell(shared_pybuild, f"pybuild {closed}", "rm", "no-such-container").returncode == 1


def test_output_that_is_lost_is_told_and_the_command_goes_on(shared_pybuild: Pybuild) -> None:
    words = ("run", "--name", "lossy", "busybox", "sh", "-c", "echo one; sleep 0.1; echo two; echo three >&2")
    done = shell(shared_pybuild, "pybuild >/dev/full", *words)
    assert done.returncode == 125
    lost = "warning: standard output: No space left on device: the rest is lost"
    assert sorted(done.stderr.splitlines()) == ["three", lost]
    assert shared_pybuild.text("logs", "lossy").splitlines()[:2] == ["one", "two"]
    assert shared_pybuild.text("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "lossy") == "exited 0"
    assert shell(shared_pybuild, "pybuild >/dev/full", "start", "-a", "lossy").returncode == 125
    done = shell(shared_pybuild, "pybuild >/dev/full", "ps", "-a")
    assert done.returncode == 1
    assert done.stderr.startswith("error: No space left on device\nhelp: it may be where standard output leads")
    shared_pybuild("rm", "lossy")


def test_a_stream_that_does_not_wait_gets_everything(shared_pybuild: Pybuild) -> None:
    """Somebody who shares it has set O_NONBLOCK, and reads late."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    words = shared_pybuild.command("run", "--rm", "busybox", "sh", "-c", "head -c 1000000 /dev/zero")
    with subprocess.Popen(words, env=shared_pybuild.environment, stdout=writer, stderr=subprocess.PIPE) as running:
        os.close(writer)
        assert running.stderr is not None
        said = b""
        while piece := os.read(reader, 4096):
            said += piece
        assert running.stderr.read() == b""
    os.close(reader)
    assert (running.returncode, len(said)) == (0, 1000000)


def test_a_store_is_not_for_everybody_to_change(tmp_path: Path) -> None:
    own = Pybuild(tmp_path / "store")
    (tmp_path / "file").write_text("x")
    tar = tmp_path / "one.tar"
    subprocess.run(["tar", "-C", tmp_path, "-cf", tar, "file"], check=True)
    for words in (("import", tar, "one"), ("volume", "create", "vol"), ("create", "-v", "vol:/v", "one", "/none")):
        assert shell(own, "umask 000; pybuild", *map(str, words)).returncode == 0
    everything = [own.root, *own.root.rglob("*")]
    assert len(everything) > 20
    assert [path for path in everything if path.lstat().st_mode & 0o002] == []


def test_a_directory_that_is_gone_is_named(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    line = f"cd {tmp_path}/gone && rmdir {tmp_path}/gone && pybuild"
    assert shell(shared_pybuild, line, "run", "--rm", "busybox", "pwd").stdout == "/\n"
    (tmp_path / "gone").mkdir()
    done = shell(shared_pybuild, line, "run", "--rm", "-v", ".:/x", "busybox", "true")
    assert done.returncode == 125
    assert "error: the directory that we were started in has been removed" in done.stderr

"""Containers where it hurts: hostile links in cp, races of wait and rm, logs of the unlucky, odd requests."""

import fcntl
import io
import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.command import Pybuild
from tests.support.soon import soon

pytestmark = pytest.mark.root
Make = Callable[..., str]


@pytest.fixture
def make(shared_pybuild: Pybuild) -> Iterator[Make]:
    """Make a stopped container that has run a script; its name."""
    names: list[str] = []

    def run(script: str, *flags: str, code: int = 0) -> str:
        names.append(f"edge-{os.urandom(4).hex()}")
        shared_pybuild("run", "--name", names[-1], *flags, "busybox", "sh", "-c", script, code=code)
        return names[-1]

    yield run
    shared_pybuild("rm", "-f", *names)


def tar_of(command: Pybuild, place: str) -> dict[str, tarfile.TarInfo]:
    done = subprocess.run(
        command.command("cp", place, "-"), env=command.environment, capture_output=True, check=True, timeout=60
    )
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        return {member.name: member for member in tar}


def test_links_of_a_container_never_lead_to_the_host(make: Make, shared_pybuild: Pybuild, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("of the host")
    name = make(f"ln -s {secret} /door; mkdir /d; ln -s {secret}/key /d/key; ln -s / /d/root")
    assert "no such" in shared_pybuild("cp", f"{name}:/door/key", tmp_path / "out", code=1).stderr
    assert "no such" in shared_pybuild("cp", f"{name}:/door/key", "-", code=1).stderr
    shared_pybuild("cp", f"{name}:/d", tmp_path / "out")
    assert os.readlink(tmp_path / "out/key") == f"{secret}/key"
    members = tar_of(shared_pybuild, f"{name}:/d")
    assert {key: member.linkname for key, member in members.items()} == {
        "d": "",
        "d/key": f"{secret}/key",
        "d/root": "/",
    }
    (tmp_path / "file").write_text("x")
    assert "no such directory" in shared_pybuild("cp", tmp_path / "file", f"{name}:/door/new", code=1).stderr
    assert sorted(os.listdir(secret)) == ["key"]


def test_a_tar_into_a_container_and_out_again(make: Make, shared_pybuild: Pybuild) -> None:
    name = make("mkdir /in")
    sent = io.BytesIO()
    with tarfile.open(fileobj=sent, mode="w") as tar:
        info = tarfile.TarInfo("etc/conf")
        info.size, info.mode, info.uid, info.gid, info.mtime = 3, 0o640, 7, 8, 1_000_000_000
        tar.addfile(info, io.BytesIO(b"a=b"))
    shared_pybuild("cp", "-", f"{name}:/in", stdin=sent.getvalue())
    got = tar_of(shared_pybuild, f"{name}:/in/etc/conf")["conf"]
    assert (got.size, got.mode, got.uid, got.gid, got.mtime) == (3, 0o640, 7, 8, 1_000_000_000)
    evil = io.BytesIO()
    with tarfile.open(fileobj=evil, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("../../escape"))
    assert "escape" in shared_pybuild("cp", "-", f"{name}:/in", stdin=evil.getvalue(), code=1).stderr


def test_cp_keeps_the_last_dot_of_a_name(make: Make, shared_pybuild: Pybuild, tmp_path: Path) -> None:
    name = make("echo x > /odd.; mkdir /dir; echo y > /dir/f; ln -s /dir /way")
    for path in ("/odd.", "/dir/../odd.", "dir", "/way"):
        shared_pybuild("cp", f"{name}:{path}", tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["dir", "odd.", "way"]
    assert os.readlink(tmp_path / "way") == "/dir"
    shared_pybuild("cp", f"{name}:/way/.", tmp_path / "through")
    assert os.listdir(tmp_path / "through") == ["f"]
    assert "cannot be copied over it" in shared_pybuild("cp", f"{name}:/dir", tmp_path / "odd.", code=1).stderr


def test_wait_has_the_code_of_a_container_that_removed_itself(shared_pybuild: Pybuild) -> None:
    identity = shared_pybuild.text("run", "-d", "--rm", "busybox", "sh", "-c", "sleep 0.7; exit 6")
    assert shared_pybuild.text("wait", identity) == "6"
    assert soon(lambda: identity not in shared_pybuild.text("ps", "-aq", "--no-trunc"))
    assert "no such container" in shared_pybuild("logs", identity, code=1).stderr


def test_rm_follows_stop_at_once(shared_pybuild: Pybuild) -> None:
    for _ in range(5):
        identity = shared_pybuild.text("run", "-d", "--init", "busybox", "sleep", "100")
        assert "is running" in shared_pybuild("rm", identity, code=1).stderr
        shared_pybuild("stop", identity)
        shared_pybuild("rm", identity)


def test_a_container_that_does_not_heed_is_killed_after_the_grace(shared_pybuild: Pybuild) -> None:
    words = ("busybox", "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done")
    identity = shared_pybuild.text("run", "-d", "--stop-timeout", "1000", *words)
    assert soon(lambda: shared_pybuild.text("logs", identity) == "ready")
    began = time.monotonic()
    shared_pybuild("stop", "-t", "1", identity)
    assert time.monotonic() - began >= 1
    assert shared_pybuild.text("inspect", "--format", "{{.State.ExitCode}}", identity) == "137"
    shared_pybuild("rm", identity)


def test_logs_follow_until_the_end(shared_pybuild: Pybuild) -> None:
    script = "for i in 1 2 3 4 5 6; do echo $i; sleep 0.1; done; echo oops >&2; printf end"
    identity = shared_pybuild.text("run", "-d", "busybox", "sh", "-c", script)
    followed = shared_pybuild("logs", "-f", identity)
    assert (followed.stdout, followed.stderr) == ("1\n2\n3\n4\n5\n6\nend", "oops\n")
    assert shared_pybuild("logs", "--tail", "2", identity).stdout == "end"
    stamped = shared_pybuild("logs", "-t", "-n", "3", identity).stdout.split()
    assert stamped[0].endswith("Z")
    assert stamped[1] == "6"
    shared_pybuild("rm", identity)


def test_logs_of_a_failed_step(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN echo the clue; exit 3\n")
    failed = shared_pybuild("build", tmp_path, code=3)
    name = next(word.strip(",;") for word in failed.stderr.split() if word.startswith("failed-"))
    assert shared_pybuild.text("logs", name) == "the clue"
    assert shared_pybuild("start", "-a", name, code=3).stdout == "the clue\n"
    shared_pybuild("rm", name)


def test_input_reaches_the_command_and_ends(shared_pybuild: Pybuild) -> None:
    data = "".join(f"line {number}\n" for number in range(20_000))
    assert shared_pybuild("run", "-i", "--rm", "busybox", "cat", stdin=data).stdout == data
    assert shared_pybuild("run", "--rm", "busybox", "cat", stdin=data).stdout == ""


def test_commit_takes_instructions_and_squashes(make: Make, shared_pybuild: Pybuild) -> None:
    name = make("echo new > /new; rm /etc/passwd", "-e", "KEPT=yes", "-u", "0:0")
    words = ["-c", "ENV A=b C='d e'", "-c", 'CMD ["cat", "/new"]', "-c", "EXPOSE 80", "-c", "LABEL l=m"]
    shared_pybuild("commit", "-m", "why", "-a", "who", *words, name, f"committed:{name}")
    config = json.loads(shared_pybuild.text("inspect", f"committed:{name}"))[0]
    assert {"A=b", "C=d e", "KEPT=yes"} <= set(config["Config"]["Env"])
    assert config["Config"]["ExposedPorts"] == {"80/tcp": {}}
    assert config["Config"]["Labels"] == {"l": "m"}
    assert (config["Author"], config["Comment"]) == ("who", "why")
    assert shared_pybuild.text("run", "--rm", f"committed:{name}") == "new"
    shared_pybuild("commit", "--squash", name, f"flat:{name}")
    assert len(json.loads(shared_pybuild.text("inspect", f"flat:{name}"))[0]["RootFS"]["Layers"]) == 1
    assert shared_pybuild("run", "--rm", f"flat:{name}", "ls", "/etc/passwd", code=1).stderr
    assert "RUN cannot be changed" in shared_pybuild("commit", "-c", "RUN true", name, code=1).stderr
    shared_pybuild("rmi", f"committed:{name}", f"flat:{name}")


def test_out_of_memory_is_told(make: Make, shared_pybuild: Pybuild) -> None:
    name = make("x=$(head -c 100m /dev/zero | tr '\\0' x)", "--memory", "24m", "--memory-swap", "24m", code=137)
    state = json.loads(shared_pybuild.text("inspect", name))[0]["State"]
    assert (state["OOMKilled"], state["ExitCode"]) == (True, 137)


def test_what_is_not_done_is_refused_with_a_sentence(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "cid").write_text("taken")
    for words, sentence in [
        (["-p", "80:80:80:80"], "invalid port"),
        (["--network", "nowhere"], "nowhere not found"),
        (["-v", "data:data"], "data"),
        (["--mount", f"type=bind,source={tmp_path}/missing,target=/data"], "missing"),
        (["--cidfile", str(tmp_path / "cid")], "there already"),
        (["--cidfile", str(tmp_path / "nowhere/cid")], "No such file"),
        (["--memory", "lots"], "lots"),
        (["--cap-drop", "NETRAW"], "NET_RAW"),
        (["-u", "nobody-here"], "nobody-here"),
    ]:
        assert sentence in shared_pybuild("run", "--rm", *words, "busybox", "true", code=125).stderr, words
    assert (
        shared_pybuild.text("run", "--rm", "--shm-size", "1m", "busybox", "df", "-k", "/dev/shm").split()[-5] == "1024"
    )
    first = shared_pybuild.text("create", "--name", "only-one", "busybox", "true")
    assert first[:12] in shared_pybuild("create", "--name", "only-one", "busybox", "true", code=125).stderr
    shared_pybuild("rm", "only-one")


def test_ps_speaks_in_templates(make: Make, shared_pybuild: Pybuild) -> None:
    name = make("exit 9", "--label", "team=red", code=9)
    row = shared_pybuild.text(
        "ps", "-a", "-f", f"name={name}", "--format", "{{.Names}}|{{.State}}|{{.Image}}|{{.Command}}"
    )
    assert row == f"{name}|exited|busybox|\"sh -c 'exit 9'\""
    assert "Exited (9)" in shared_pybuild.text("ps", "-a", "-f", "label=team=red")
    assert shared_pybuild.text("ps", "-aq", "-f", "exited=9", "-f", f"name={name}")
    assert shared_pybuild.text("ps", "-q", "-f", f"name={name}") == ""


def test_what_mounts_needed_is_no_change_even_while_they_are_there(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    flags = ["-v", f"{tmp_path}:/mnt/a/b", "--tmpfs", "/scratch"]
    identity = shared_pybuild.text(
        "run", "-d", *flags, "busybox", "sh", "-c", "mkdir /own; echo x > /mnt/a/own; sleep 100"
    )
    assert soon(lambda: "/mnt/a/own" in shared_pybuild.text("diff", identity))
    expected = ["A /mnt", "A /mnt/a", "A /mnt/a/own", "A /own"]
    assert shared_pybuild.text("diff", identity).splitlines() == expected
    image = shared_pybuild.text("commit", identity)
    assert shared_pybuild.text("diff", image).splitlines() == expected
    shared_pybuild("rm", "-f", identity)


def test_what_cannot_be_removed_is_dead_and_can_be_tried_again(make: Make, shared_pybuild: Pybuild) -> None:
    name = make("echo x > /stays")
    found = json.loads(shared_pybuild.text("inspect", name))[0]
    stays = Path(found["GraphDriver"]["Data"]["UpperDir"]) / "stays"
    with immutable(stays):
        assert "could not be removed" in shared_pybuild("rm", name, code=1).stderr
        state = json.loads(shared_pybuild.text("inspect", name))[0]["State"]
        assert (state["Status"], state["Dead"]) == ("dead", True)
        assert "Dead" in shared_pybuild.text("ps", "-a", "-f", f"name={name}", "-f", "status=dead")
    shared_pybuild("rm", name)


@contextmanager
def immutable(path: Path) -> Iterator[None]:
    """A file that nobody can remove, not even root (ioctl_iflags(2))."""
    with path.open("rb") as file:
        flags = fcntl.ioctl(file, 0x80086601, bytes(8))
        fcntl.ioctl(file, 0x40086602, (int.from_bytes(flags, sys.byteorder) | 0x10).to_bytes(8, sys.byteorder))
        try:
            yield
        finally:
            fcntl.ioctl(file, 0x40086602, flags)


def test_nothing_is_seen_of_one_that_removed_itself_and_soon_nothing_is_left(shared_pybuild: Pybuild) -> None:
    name, scratch = f"edge-{os.urandom(4).hex()}", shared_pybuild.root / "scratch"
    before = {entry.name for entry in scratch.iterdir()}
    for _ in range(3):  # the name is free at once
        shared_pybuild("run", "--rm", "--name", name, "busybox", "sh", "-c", "mkdir -p /a/b && echo x > /a/b/c")
        assert name not in shared_pybuild.text("ps", "-a", "--format", "{{.Names}}")
        shared_pybuild("inspect", name, code=1)
    assert soon(lambda: not {entry.name for entry in scratch.iterdir()} - before)

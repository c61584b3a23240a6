"""Commands in a user namespace: root inside is nobody on the host, files keep the owners that they have on disk."""

import errno
import marshal
import os
from pathlib import Path
from typing import cast

import pytest

from runner import Identity, Mount, SandboxUnavailable
from runner.errors import RunnerError, SandboxBroken, SpawnerLost
from runner.ids import FIRST, SHARED, Ids, Range
from runner.job import Job
from runner.owners import Owners
from runner.sockets import Socket
from runner.spawner import Sown, Spawner
from tests.support.walls import Walled

pytestmark = pytest.mark.root
AUTO = Ids.auto()


def test_root_inside_has_a_high_number_outside(walled: Walled) -> None:
    found = walled("id -u; id -g; cat /proc/self/uid_map; cat /proc/self/gid_map", userns=AUTO)
    uid, gid, *maps = found.out.split()
    assert (uid, gid) == ("0", "0")
    assert maps == ["0", str(FIRST), str(SHARED)] * 2


def test_files_have_the_same_numbers_on_disk_and_inside(walled: Walled) -> None:
    (walled.root / "theirs").write_text("x")
    os.chown(walled.root / "theirs", 33, 44)
    found = walled(
        "stat -c '%u %g' /theirs /bin; echo x >/made; mkdir /folder;chown 33:3000000000 /folder; stat -c %u:%g /folder",
        userns=AUTO,
        cwd="/new/place",
    )
    assert found.out.splitlines() == ["33 44", "0 0", "33:3000000000"]
    assert [(walled.root / name).stat().st_uid for name in ("made", "folder", "new", "new/place")] == [0, 33, 0, 0]
    assert (walled.root / "folder").stat().st_gid == 3_000_000_000


def test_another_user_may_write_where_it_owns_and_open_its_output(walled: Walled) -> None:
    (walled.root / "home").mkdir()
    os.chown(walled.root / "home", 1000, 1000)
    found = walled("touch /home/x && echo one >/dev/stdout; echo two >/dev/stderr; touch /etc/y", userns=AUTO,
                   identity=Identity(1000, 1000, (1000, 33)))  # fmt: skip
    assert (found.out, found.err.splitlines()[0]) == ("one\n", "two")
    assert "Permission denied" in found.err
    assert (walled.root / "home/x").stat().st_uid == 1000


def test_stubs_belong_to_root_and_go(walled: Walled, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    mounts = (Mount("/deep/er/file", tmp_path / "file"), Mount("/deep/tmp", kind="tmpfs", mode=0o700))
    found = walled("stat -c '%u %a' /deep /deep/er/file /deep/tmp", userns=AUTO, mounts=mounts, readonly_root=True)
    assert found.out.splitlines() == ["0 755", "0 644", "0 700"]
    assert not (walled.root / "deep").exists()


def test_a_bind_takes_what_root_inside_makes_as_roots(walled: Walled, tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    walled("touch /open/file && chown 5:6 /open/file; touch /open/mine", userns=AUTO,
           mounts=(Mount("/open", tmp_path / "open"),))  # fmt: skip
    assert ((tmp_path / "open/file").stat().st_uid, (tmp_path / "open/mine").stat().st_uid) == (5, 0)


@pytest.mark.parametrize(
    "line",
    [
        "mknod /tmp/null c 1 3",
        "mknod /dev/disk b 7 0",
        "echo /bin/sh >/proc/sys/kernel/core_pattern",
        "echo h >/proc/sysrq-trigger",
        "echo 1 >/proc/sys/net/ipv4/ip_forward",
        "kill -0 2",
        "echo 0 >/sys/kernel/mm/ksm/run",
    ],
)
def test_what_only_the_hosts_root_may_is_denied(walled: Walled, line: str) -> None:
    assert walled(line, userns=AUTO, capabilities=frozenset({"MKNOD", "SYS_ADMIN", "DAC_OVERRIDE"})).exit.code != 0


def test_a_running_process_is_nobody_of_the_hosts(walled: Walled) -> None:
    pipe = os.pipe()
    null = os.open(os.devnull, os.O_RDWR)
    line = "mkdir -p /in/side; echo up; exec sleep 1000"
    running = walled.native.start(walled.sandbox(line, userns=AUTO), [null, pipe[1], null])
    try:
        assert os.read(pipe[0], 3) == b"up\n"
        status = Path(f"/proc/{running.pid}/status").read_text()
        assert f"Uid:\t{FIRST}\t{FIRST}\t{FIRST}\t{FIRST}\n" in status
        out = os.pipe()
        inner = walled.sandbox("stat -c %u . && touch /made && stat -c %u /made; echo e >/dev/stderr", cwd="/in/side")
        more = walled.native.exec_in(running.pid, inner, [null, out[1], out[1]])
        assert more.wait().code == 0
        assert os.read(out[0], 100) == b"0\n0\ne\n"
        assert (walled.root / "in/side").stat().st_uid == (walled.root / "made").stat().st_uid == 0
        for descriptor in out:
            os.close(descriptor)
    finally:
        running.kill()
        running.wait()
        for descriptor in (*pipe, null):
            os.close(descriptor)


def test_a_user_without_a_number_is_named(walled: Walled) -> None:
    few = Ids((Range(0, 100_000, 10),), (Range(0, 200_000, 10),))
    assert walled("id -u; stat -c '%u %g' /bin", userns=few, identity=Identity(9, 9)).out == "9\n0 0\n"
    with pytest.raises(SandboxUnavailable, match="user 10 has no number"):
        walled("true", userns=few, identity=Identity(10, 9))


def test_a_terminal(walled: Walled) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    running = walled.native.start(walled.sandbox("tty; stat -c %u $(tty)", userns=AUTO), [null] * 3, tty=True)
    assert running.master is not None
    said = b""
    while b"\n" not in said.partition(b"\n")[2]:
        said += os.read(running.master, 100)
    assert running.wait().code == 0
    assert said.split() == [b"/dev/pts/0", b"0"]
    for descriptor in (null, running.master):
        os.close(descriptor)


SCARCE, NONE = (SandboxBroken("user namespace, clone3", number) for number in (errno.EAGAIN, errno.ENOSPC))


@pytest.mark.parametrize("problem", [SCARCE, SpawnerLost(), NONE])
def test_walls_are_not_left_out_for_what_is_only_scarce(tmp_path: Path, problem: RunnerError) -> None:
    """As many processes as there may be; that there can be no user namespace at all is told, and lived with."""

    class Poor:
        def map(self, *_: object) -> None:
            raise problem

    owners = Owners(cast(Spawner, Poor()))
    if problem is NONE:
        assert "this machine makes no user namespaces" in owners.settle(Ids.usual(), tmp_path).why
        return
    for _ in range(2):
        with pytest.raises(type(problem)):
            owners.settle(Ids.usual(), tmp_path)


def test_a_process_that_is_killed_before_it_is_born_is_said_to_have_died() -> None:
    """Its end is told then, and nothing else."""
    (reply, far), (status, other) = Socket.pair(), Socket.pair()
    with far, other:
        far.send(marshal.dumps(("ended", 9, True, None)))
    sown = Sown(reply, status)
    assert sown.met()[0] == 0
    with pytest.raises(SpawnerLost):
        sown.grow(Job(), [])

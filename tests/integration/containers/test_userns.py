"""Containers whose root is nobody on the host: on disk, in cp, exec, commit and diff owners are as they know them."""

import fcntl
import io
import json
import os
import struct
import subprocess
import tarfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from runner import Ids
from runner.ids import APART, COUNT, FIRST, SHARED
from runner.linux import AT_FDCWD, attach, copy_mount, new_mount
from runner.ranges import BOOK, F_OFD_SETLK, RANGES, private
from tests.support.command import Pybuild
from tests.support.mounted import ext4
from tests.support.private import privately

pytestmark = pytest.mark.root
MADE = "echo x >/made; mkdir -m 2755 /dir; echo y >/dir/file; chown -R 33:44 /dir; chmod 4755 /made; rm /etc/passwd"


KINDS = {
    "auto": [],
    "same": ["--userns", "keep-id"],
    "host": ["--userns", "host"],
    "map": ["--uidmap", "0:500000:70000"],
}


def told(pybuild: Pybuild, name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(pybuild.text("inspect", name))[0]
    return found


def owners(tar: bytes) -> dict[str, tuple[int, int, int]]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return {member.name: (member.uid, member.gid, member.mode) for member in archive}


@pytest.mark.parametrize("flags", KINDS.values(), ids=KINDS)
def test_owners_are_the_same_wherever_they_are_looked_at(
    flags: list[str], shared_pybuild: Pybuild, tmp_path: Path
) -> None:
    container = f"ns-{os.urandom(4).hex()}"
    line = f"{MADE}; echo ready; exec sleep 1000"
    shared_pybuild("run", "-d", "--name", container, *flags, "busybox", "sh", "-c", line)
    try:
        while "ready" not in shared_pybuild.text("logs", container):
            pass
        running(container, shared_pybuild, tmp_path)
        stopped(container, shared_pybuild, tmp_path)
    finally:
        shared_pybuild("rm", "-f", container)


def running(container: str, shared_pybuild: Pybuild, tmp_path: Path) -> None:
    upper = shared_pybuild.root / "containers" / str(told(shared_pybuild, container)["Id"]) / "upper"
    assert (upper / "made").stat().st_mode & 0o7777 == 0o4755
    assert [(upper / name).stat().st_uid for name in ("made", "dir", "dir/file")] == [0, 33, 33]
    assert shared_pybuild.text("exec", container, "stat", "-c", "%u:%g", "/made", "/dir", "/etc") == "0:0\n33:44\n0:0"
    assert shared_pybuild.text("exec", "-u", "33:44", "-w", "/dir", container, "sh", "-c", "touch z && id -u") == "33"

    def streamed(*words: str, stdin: bytes = b"") -> bytes:
        return subprocess.run(
            shared_pybuild.command(*words), input=stdin, capture_output=True, check=True, env=shared_pybuild.environment
        ).stdout

    tar = streamed("cp", f"{container}:/dir", "-")
    assert owners(tar) == {"dir": (33, 44, 0o2755), "dir/file": (33, 44, 0o644), "dir/z": (33, 44, 0o644)}
    streamed("cp", "-", f"{container}:/tmp", stdin=tar)
    (tmp_path / "mine").write_text("mine")
    os.chown(tmp_path / "mine", 5, 6)
    shared_pybuild("cp", tmp_path / "mine", f"{container}:/made-by-us")
    shared_pybuild("cp", "-a", tmp_path / "mine", f"{container}:/kept")
    paths = ("/tmp/dir/file", "/made-by-us", "/kept")
    assert shared_pybuild.text("exec", container, "stat", "-c", "%u:%g", *paths) == "33:44\n0:0\n5:6"
    shared_pybuild("cp", "-a", f"{container}:/dir/file", tmp_path / "back")
    shared_pybuild("cp", f"{container}:/dir/file", tmp_path / "ours")
    assert ((tmp_path / "back").stat().st_uid, (tmp_path / "ours").stat().st_uid) == (33, 0)


def stopped(container: str, shared_pybuild: Pybuild, tmp_path: Path) -> None:
    shared_pybuild("stop", "-t", "0", container)
    changes = {"A /dir/file", "D /etc/passwd", "A /made", "A /kept", "A /tmp/dir/file"}
    assert changes <= set(shared_pybuild.text("diff", container).splitlines())
    image = shared_pybuild.text("commit", container)
    out = tmp_path / "tree.tar"
    shared_pybuild("export", "-o", out, image)
    found = owners(out.read_bytes())
    assert (found["made"], found["dir"], found["dir/file"]) == ((0, 0, 0o4755), (33, 44, 0o2755), (33, 44, 0o644))
    assert "etc/passwd" not in found
    shared_pybuild("cp", "-a", f"{container}:/dir/file", tmp_path / "file")
    assert (tmp_path / "file").stat().st_uid == 33
    assert shared_pybuild.text("run", "--rm", image, "stat", "-c", "%u %a", "/made", "/dir/file") == "0 4755\n33 644"


def test_the_hosts_numbers_while_it_runs(shared_pybuild: Pybuild) -> None:
    name = f"ns-{os.urandom(4).hex()}"
    shared_pybuild("run", "-d", "--name", name, "-u", "7", "busybox", "sleep", "1000")
    state = told(shared_pybuild, name)
    status = Path(f"/proc/{state['State']['Pid']}/status").read_text()  # type: ignore[index]
    uid = int(status.partition("Uid:\t")[2].split()[0])
    assert uid >= APART and (uid - APART) % COUNT == 7
    shared_pybuild("rm", "-f", name)


def test_the_root_of_one_container_is_nobody_to_another(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    names = [f"ns-{os.urandom(4).hex()}" for _ in range(2)]
    (tmp_path / "data").mkdir()
    firsts = []
    for name in names:
        shared_pybuild("run", "-d", "--name", name, "-v", f"{tmp_path}/data:/data", "busybox", "sleep", "1000")
        pid = json.loads(shared_pybuild.text("inspect", name))[0]["State"]["Pid"]
        low, high = (line.split() for line in Path(f"/proc/{pid}/uid_map").read_text().splitlines())
        assert low[0::2] == ["0", str(COUNT)] and high == [str(COUNT), str(FIRST + COUNT), str(SHARED - COUNT)]
        firsts.append(int(low[1]))
        shared_pybuild("exec", name, "sh", "-c", f"echo x >/data/{name}; chown 33:3000000000 /data/{name}")
    assert firsts[0] != firsts[1] and min(firsts) >= APART
    for name in names:
        assert ((tmp_path / "data" / name).stat().st_uid, (tmp_path / "data" / name).stat().st_gid) == (33, 3000000000)
        seen = shared_pybuild.text("exec", name, "stat", "-c", "%u:%g", *(f"/data/{one}" for one in names))
        assert seen.split() == ["33:3000000000"] * 2
    with ExitStack() as held:  # theirs are held by who looks after them
        drawn = {private(Ids.usual(), held, pytest.fail) for _ in range(3)}
        assert not {ids.uids[0].outside for ids in drawn if ids is not None} & set(firsts) and len(drawn) == 3
    shared_pybuild("rm", "-f", *names)


def test_a_container_for_which_no_range_is_left_says_whose_numbers_it_shares(
    shared_pybuild: Pybuild,
) -> None:
    def body() -> None:
        attach(new_mount(b"tmpfs", {}), AT_FDCWD, b"/run")  # the ranges of a host on which only we are
        with ExitStack() as held:
            book = held.enter_context(BOOK.open("w"))
            fcntl.fcntl(book, F_OFD_SETLK, struct.pack("hhqqi0q", fcntl.F_WRLCK, os.SEEK_SET, 0, RANGES, 0))
            flags = ("--rm", "--network", "none")
            done = shared_pybuild("run", *flags, "busybox", "cat", "/proc/self/uid_map")
            assert done.stdout.split() == ["0", str(FIRST), str(SHARED)]
            assert f"have all {RANGES} ranges" in done.stderr and "--userns map --uidmap" in done.stderr
            name = f"ns-{os.urandom(4).hex()}"
            done = shared_pybuild("run", "-d", "--name", name, "--network", "none", "busybox", "sleep", "1000")
            assert f"have all {RANGES} ranges" in done.stderr
            shared_pybuild("rm", "-f", name)
            own = shared_pybuild("run", *flags, "--uidmap", "0:500000:65536", "busybox", "true")
            assert own.stderr == ""
        assert shared_pybuild("run", *flags, "busybox", "true").stderr == ""

    privately(body)


def test_a_volume_belongs_to_root_inside_and_outside(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    shared_pybuild(
        "run", "--rm", "-v", f"{tmp_path}/data:/data", "busybox", "sh", "-c", "echo x >/data/f; chown 9 /data/f"
    )
    assert ((tmp_path / "data/f").stat().st_uid, (tmp_path / "data").stat().st_uid) == (9, 0)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--userns", "map"], "needs --uidmap"),
        (["--userns", "host", "--uidmap", "0:1:1"], "for --userns map"),
        (["--uidmap", "0:1"], "three numbers"),
        (["--uidmap", "5:1:1"], "no number for 0"),
        (["--gidmap", "0:1:1"], "needs --uidmap"),
    ],
)
def test_maps_that_make_no_sense(flags: list[str], words: str, shared_pybuild: Pybuild) -> None:
    assert words in shared_pybuild("run", "--rm", *flags, "busybox", "true", code=125).stderr
    assert words in shared_pybuild("build", *flags, "-", stdin="FROM busybox\nRUN true", code=2).stderr


def test_who_has_no_number_cannot_run(shared_pybuild: Pybuild) -> None:
    said = shared_pybuild("run", "--rm", "--uidmap", "0:500000:10", "-u", "10", "busybox", "true", code=125).stderr
    assert "user 10 has no number" in said


def test_mknod_fails_unless_the_host_is_asked_for(shared_pybuild: Pybuild) -> None:
    text = "FROM busybox\nRUN mknod /node c 1 3"
    said = shared_pybuild("build", "--no-cache", "-", stdin=text, code=1).stderr
    assert "Operation not permitted" in said and "--userns host" in said
    shared_pybuild("build", "--no-cache", "--userns", "host", "-", stdin=text)


def test_a_disk_that_knows_mapped_mounts_beside_one_in_memory_that_may_not(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()

    def body() -> None:
        with ext4(disk):
            pybuild = Pybuild(disk / "store", {"SECRET": "x"})
            pybuild.base("busybox")
            see = "stat -c %u /run/secrets/s /c && id -u && touch /made && chown 33 /made && cat /proc/self/uid_map"
            shown = "--mount=type=secret,id=s,uid=7 --mount=type=cache,target=/c,uid=8"
            text = f"FROM busybox\nRUN {shown} {see}\nRUN stat -c %u /made"
            flags = ("--userns", "auto", "--progress", "plain", "--secret", "id=s,env=SECRET")
            said = pybuild("build", *flags, "-", stdin=text).stderr
            words = [
                line.split()[2:] for line in said.splitlines() if line[:2] in ("#2", "#3") and "." in line.split()[1]
            ]
            assert words == [["7"], ["8"], ["0"], ["0", str(FIRST), str(SHARED)], ["33"]]

    privately(body)


def test_where_the_kernel_gives_none_the_hosts_numbers_do_unless_one_was_asked_for(shared_pybuild: Pybuild) -> None:
    def body() -> None:
        attach(copy_mount(AT_FDCWD, b"/dev/null"), AT_FDCWD, b"/proc/keys")  # as container engines hide it
        text = "FROM busybox\nRUN cat /proc/self/uid_map"
        said = shared_pybuild("build", "--no-cache", "--progress", "plain", "-", stdin=text).stderr
        assert "there is no user namespace: " in said and "/proc/keys is hidden" in said
        assert "0          0 4294967295" in said
        done = shared_pybuild("run", "--rm", "busybox", "cat", "/proc/self/uid_map")
        assert done.stdout.split() == ["0", "0", "4294967295"] and "/proc/keys is hidden" in done.stderr
        refused = shared_pybuild("run", "--rm", "--userns", "auto", "busybox", "true", code=125).stderr
        assert "/proc/keys is hidden" in refused and "--userns host" in refused

    privately(body)

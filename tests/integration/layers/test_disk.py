"""Disks that are full, read-only or of another kind: one clear line, nothing half kept, and a way out."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from layers import Store
from layers.home.check import check
from runner import linux
from tests.support.command import Pybuild
from tests.support.registry import RegistryServer

pytestmark = pytest.mark.root
KILO = 1 << 10
MS_REMOUNT, MS_BIND = 32, 4096  # mount(2)


class Disk:
    """A file system in memory of a size that may change."""

    def __init__(self, root: Path, options: str) -> None:
        self.root = root
        root.mkdir()
        linux.mount(b"pybuild-test", os.fsencode(root), b"tmpfs", 0, options.encode())

    def again(self, options: str, flags: int = 0) -> None:
        """Mount it otherwise."""
        linux.mount(None, os.fsencode(self.root), None, MS_REMOUNT | flags, options.encode())

    def leave(self, size: int) -> None:
        """Fill it but for so many bytes."""
        filler = self.root / "filler"
        filler.unlink(missing_ok=True)
        found = os.statvfs(self.root)
        with filler.open("xb") as file:
            os.posix_fallocate(file.fileno(), 0, max(found.f_bfree * found.f_frsize - size, 1))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path / "disk", "size=24m,mode=755")
    yield made
    linux.unmount(os.fsencode(made.root), linux.MNT_DETACH)


@pytest.fixture
def pybuild(disk: Disk) -> Pybuild:
    """The command on a store that lies in memory, and holds busybox."""
    command = Pybuild(disk.root / "store", {"DOCKER_CONFIG": str(disk.root / "docker-config")})
    command.base("busybox")
    return command


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    for number in range(20):
        (folder / f"file-{number}").write_bytes(os.urandom(60 * KILO))
    (folder / "Dockerfile").write_text("FROM busybox\nCOPY . /a\nRUN cat /a/file-* > /b\n")
    return folder


def assert_intact(pybuild: Pybuild) -> None:
    """Nothing is damaged, and nobody's scratch is left."""
    with Store.open(pybuild.root) as store:
        found = check(store)
        assert found.damages == ()
        store.sweep()
    assert os.listdir(pybuild.root / "scratch") == []


def until_it_fits(disk: Disk, pybuild: Pybuild, rooms: list[int], command: Callable[[], list[str | Path]]) -> None:
    """Try with more and more room: each try fails in one clear line and leaves the store whole, the last one works."""
    failed = 0
    for room in rooms:
        disk.leave(room * KILO)
        done = pybuild(*command(), code=None)
        if done.returncode:
            failed += 1
            assert "Traceback" not in done.stderr, done.stderr
            lines = done.stderr.splitlines()
            assert sum(line.startswith("error:") for line in lines) == 1, done.stderr
            told = [line for line in lines if f"the disk at {disk.root}" in line]
            assert len(told) == 1, done.stderr
            assert told[0].startswith(("error:", "note:")), done.stderr  # a note, where a program of the image failed
            assert "pybuild prune" in told[0], done.stderr
        (disk.root / "filler").unlink()
        assert_intact(pybuild)
    assert failed >= 2
    assert done.returncode == 0, done.stderr


def test_a_build_on_a_full_disk(disk: Disk, pybuild: Pybuild, context: Path) -> None:
    rooms = [0, 4, 40, 300, 1400, 2000, 2700, 4000, 9000]
    until_it_fits(disk, pybuild, rooms, lambda: ["build", "--no-cache", "-t", "app", context])


def test_a_commit_on_a_full_disk(disk: Disk, pybuild: Pybuild, context: Path) -> None:
    pybuild("run", "--name", "full", "-v", f"{context}:/from", "busybox", "cp", "-r", "/from", "/to")
    until_it_fits(disk, pybuild, [0, 8, 100, 1000, 3000], lambda: ["commit", "full", "kept"])


def test_pull_and_load_on_a_full_disk(
    disk: Disk, pybuild: Pybuild, context: Path, registry: RegistryServer, tmp_path: Path
) -> None:
    name = registry.reference("full:1")
    pybuild.build(context, "-t", name)
    pybuild("push", name)
    pybuild("save", "-o", tmp_path / "saved.tar", name)
    pybuild("prune", "--all", "--force")
    until_it_fits(disk, pybuild, [0, 8, 200, 1500, 2700, 12000], lambda: ["pull", name])
    pybuild("rmi", name)
    pybuild("prune", "--all", "--force")
    until_it_fits(disk, pybuild, [0, 8, 200, 1500, 3500, 16000], lambda: ["load", "-i", tmp_path / "saved.tar"])


def test_prune_works_on_a_full_disk(disk: Disk, pybuild: Pybuild, context: Path) -> None:
    pybuild.build(context, "-t", "app")
    disk.leave(0)
    assert "app" in pybuild.text("images")
    assert "COPY . /a" in pybuild.text("history", "--no-trunc", "app")
    assert "no space left" in pybuild("tag", "app", "other", code=1).stderr
    done = pybuild("prune", "--all", "--force")
    assert "Untagged: app:latest" in done.stdout
    (disk.root / "filler").unlink()
    assert_intact(pybuild)
    assert pybuild.text("images", "-q") == ""


def test_no_names_left(disk: Disk, pybuild: Pybuild, context: Path) -> None:
    found = os.statvfs(disk.root)
    disk.again(f"nr_inodes={found.f_files - found.f_ffree}")
    done = pybuild("build", "--no-cache", context, code=None)
    assert done.returncode
    assert f"no more files can be made on the disk at {disk.root}" in done.stderr
    pybuild("prune", "--all", "--force")
    disk.again("nr_inodes=100000")
    assert_intact(pybuild)


def test_a_store_that_cannot_be_written_can_be_read(
    disk: Disk, pybuild: Pybuild, context: Path, tmp_path: Path
) -> None:
    pybuild.build(context, "-t", "app")
    pybuild("create", "--name", "still", "app")
    disk.again("", linux.MS_RDONLY)
    before = {path: path.stat().st_mtime_ns for path in sorted(pybuild.root.rglob("*"))}
    assert "app" in pybuild.text("images")
    assert pybuild.text("inspect", "--format", "{{.Os}}", "app") == "linux"
    assert "COPY . /a" in pybuild.text("history", "--no-trunc", "app")
    assert "A /b" in pybuild.text("diff", "busybox", "app")
    assert "still" in pybuild.text("ps", "-a")
    assert "Images" in pybuild.text("system", "df")
    assert "no damage" in pybuild.text("system", "check")
    assert "Would untag: busybox" in pybuild.text("prune", "--all", "--dry-run")
    commands: list[list[str | Path]] = [
        ["build", "--no-cache", context],
        ["tag", "app", "other"],
        ["rmi", "busybox"],
        ["prune", "--force"],
        ["run", "app", "true"],
        ["commit", "still", "kept"],
        ["system", "check", "--repair"],
    ]
    for command in commands:
        done = pybuild(*command, code=None)
        if command[0] != "system":
            assert done.returncode, command
            assert done.stderr.count("error:") == 1, done.stderr
            assert "cannot be written" in done.stderr, done.stderr
    assert {path: path.stat().st_mtime_ns for path in sorted(pybuild.root.rglob("*"))} == before


def test_a_store_in_use_can_be_read_where_it_cannot_be_written(disk: Disk, pybuild: Pybuild, tmp_path: Path) -> None:
    with Store.open(pybuild.root) as store:  # its last rows are in the log of the database only
        store.images.tag(next(iter(store.images.names()))[0], store.images.list()[0].target)
        view = tmp_path / "view"
        view.mkdir()
        linux.mount(os.fsencode(pybuild.root), os.fsencode(view), None, MS_BIND)
        linux.mount(None, os.fsencode(view), None, MS_REMOUNT | MS_BIND | linux.MS_RDONLY)
        try:
            reader = Pybuild(view)
            assert "busybox" in reader.text("images")
            assert "cannot be written" in reader("rmi", "busybox", code=1).stderr
        finally:
            linux.unmount(os.fsencode(view))


def test_a_store_of_somebody_else_is_refused_in_words(pybuild: Pybuild) -> None:
    script = (
        "import os, sys; from pathlib import Path; import layers.home.store; from layers import Store, StoreFormat\n"
        "os.setegid(65534); os.seteuid(65534)\n"
        "try: Store.open(Path(sys.argv[1]))\n"
        "except StoreFormat as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, pybuild.root], capture_output=True, text=True, check=True)
    assert "it may not be read; give yourself the right" in done.stdout


def test_a_full_disk_where_images_go(disk: Disk, shared_pybuild: Pybuild) -> None:
    disk.leave(512 * KILO)
    there = disk.root
    for words, name in (
        (["save", "-o", there / "s.tar", "busybox"], "s.tar"),
        (["copy", "-q", "busybox", f"oci:{there}/layout:1"], "layout/blobs"),
        (["copy", "-q", "busybox", f"dir:{there}/dir"], "dir/"),
        (["unpack", "--image", "busybox", there / "bundle"], "bundle"),
    ):
        told = shared_pybuild(*words, code=1).stderr.splitlines()
        assert told[0].startswith(f"error: No space left on device: {there}/{name}")
        assert told[1].startswith("help: make room there"), "the store has nothing to do with it"
    left = {path.relative_to(there).as_posix() for path in there.rglob("*") if path.is_file()}
    assert not [path for path in left if "part" in path or path.endswith(".tar")]

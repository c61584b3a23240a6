"""Mounts of a process that nobody else sees, and overlays on kernels old and new."""

import errno
import os
import threading
from pathlib import Path

import pytest

from runner import SandboxUnavailable, mounts, private
from runner.ids import FIRST, Ids, lines
from runner.linux import set_capabilities
from runner.owners import Owners
from runner.spawner import Spawner
from tests.support.mounted import ext4
from tests.support.private import privately

pytestmark = pytest.mark.root


def layers(folder: Path, count: int, name: str = "lower{}") -> list[Path]:
    """Lower directories, topmost first; each has a file of its own number and one that all have."""
    made = []
    for number in range(count):
        place = folder / name.format(number)
        place.mkdir(parents=True)
        (place / f"only{number}").write_text(str(number))
        (place / "all").write_text(str(number))
        made.append(place)
    return made


def rooms(folder: Path, name: str = "") -> tuple[Path, Path, Path]:
    made = tuple(folder / f"{name}{kind}" for kind in ("target", "upper", "work"))
    for place in made:
        place.mkdir(parents=True)
    return made[0], made[1], made[2]


@pytest.fixture(params=["by descriptor", "by names"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to mount; the second as on a kernel that does not know the first."""

    def unknown(*_: object) -> None:
        raise OSError(errno.EINVAL, "an older kernel")

    if request.param == "by names":
        monkeypatch.setattr(mounts, "_by_descriptor", unknown)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("name", ["lower{}", "with space {}", "a:b,c={}", "ä\n{}", "back\\slash{}"])
def test_changes_go_to_the_upper_directory(tmp_path: Path, name: str) -> None:
    lowers = layers(tmp_path, 3, name)
    target, upper, work = rooms(tmp_path, name.format("-"))

    def body() -> None:
        mounts.overlay(lowers, target, upper=upper, work=work, volatile=True)
        assert (target / "all").read_text() == "0"
        assert sorted(os.listdir(target)) == ["all", "only0", "only1", "only2"]
        (target / "new").write_text("n")
        (target / "only2").unlink()
        mounts.unmount(target)
        assert os.listdir(target) == []

    privately(body)
    assert (upper / "new").read_text() == "n"
    assert (upper / "only2").is_char_device()
    assert all((lower / "all").exists() for lower in lowers)


@pytest.mark.usefixtures("way")
def test_owners_by_the_map_of_a_user_namespace(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()

    def body() -> None:
        with ext4(disk):
            lowers = layers(disk, 20)
            os.chown(lowers[0] / "all", 33, 44)
            target, upper, work = rooms(disk)
            spawner = Spawner()
            ids = Owners(spawner).mapping(Ids.auto())
            before = Path("/proc/self/mountinfo").read_text().count("\n")
            mounts.overlay(lowers, target, upper=upper, work=work, volatile=True, ids=ids)
            assert Path("/proc/self/mountinfo").read_text().count("\n") == before + 1
            assert ((target / "all").stat().st_uid, (target / "all").stat().st_gid) == (FIRST + 33, FIRST + 44)
            assert (target / "only7").stat().st_uid == target.stat().st_uid == FIRST
            (target / "made").mkdir()
            os.chown(target / "made", FIRST + 5, FIRST + 6)
            (target / "all").chmod(0o4755)
            (target / "only3").unlink()
            made = {path.name: (path.lstat().st_uid, path.lstat().st_gid) for path in upper.iterdir()}
            assert made.keys() == {"made", "all", "only3"}
            assert (made["made"], made["all"]) == ((5, 6), (33, 44))
            mounts.unmount(target)
            assert sorted(os.listdir(disk)) == sorted(
                ["lost+found", "target", "upper", "work", *(path.name for path in lowers)]
            )
            high = lines(Ids.auto().uids)  # no number for the host's root: read-only, says the kernel's log
            with pytest.raises(OSError, match="the kernel gave a read-only overlay"):
                mounts.overlay(lowers, target, upper=upper, work=work, ids=spawner.map(high, high).namespace())
            spawner.close()
            lowers[1].rename(disk / "gone")  # as a directory that is made anew
            lowers[1].mkdir()
            (lowers[1] / "anew").touch()
            mounts.overlay(lowers[:2], target, ids=ids)
            assert (target / "anew").stat().st_uid == FIRST and not (target / "only1").exists()
            mounts.unmount(target)

    privately(body)


@pytest.mark.usefixtures("way")
def test_many_layers_with_long_names(tmp_path: Path) -> None:
    lowers = layers(tmp_path / ("x" * 200), 120, "y" * 180 + "{}")
    target, upper, work = rooms(tmp_path)

    def body() -> None:
        mounts.overlay(lowers, target, upper=upper, work=work)
        assert len(os.listdir(target)) == 121

    privately(body)


@pytest.mark.parametrize("count", [1, 2])
def test_a_view_cannot_be_written(tmp_path: Path, count: int) -> None:
    lowers = layers(tmp_path, count)
    target = rooms(tmp_path)[0]

    def body() -> None:
        mounts.overlay(lowers, target)
        assert (target / "all").read_text() == "0"
        with pytest.raises(OSError, match="Read-only"):
            (target / "x").touch()

    privately(body)


@pytest.mark.parametrize("count", [0, 501])
def test_too_few_and_too_many_are_told(tmp_path: Path, count: int) -> None:
    with pytest.raises(OSError, match=f"1 to 500 lower directories, not {count}"):
        mounts.overlay([tmp_path] * count, tmp_path)


def test_a_missing_layer_is_told(tmp_path: Path) -> None:
    target, upper, work = rooms(tmp_path)

    def body() -> None:
        with pytest.raises(FileNotFoundError):
            mounts.overlay([tmp_path / "none"], target, upper=upper, work=work)

    privately(body)


def test_nobody_else_sees_our_mounts(tmp_path: Path) -> None:
    lowers = layers(tmp_path, 2)
    target, upper, work = rooms(tmp_path)
    before = Path("/proc/self/mountinfo").read_bytes()

    def body() -> None:
        private.enter()  # a second time is nothing
        mounts.overlay(lowers, target, upper=upper, work=work)
        assert Path("/proc/1/mountinfo").read_bytes().count(bytes(target)) == 0
        assert Path("/proc/self/mountinfo").read_bytes().count(bytes(target)) == 1

    privately(body)
    assert os.listdir(target) == []
    assert Path("/proc/self/mountinfo").read_bytes() == before


def test_threads_come_later() -> None:
    """unshare(2) would give the new namespace to one thread only."""
    release = threading.Event()
    thread = threading.Thread(target=release.wait)
    thread.start()
    try:
        with pytest.raises(SandboxUnavailable, match="before threads start"):
            private.enter()
    finally:
        release.set()
        thread.join()


def test_without_rights_it_says_what_would_help() -> None:
    def body() -> None:
        set_capabilities(0)
        with pytest.raises(SandboxUnavailable, match="run as root"):
            Spawner().warm()
        private._entered.clear()
        with pytest.raises(SandboxUnavailable, match="run as root"):
            private.enter()

    privately(body)

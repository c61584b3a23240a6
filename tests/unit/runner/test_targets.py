"""Places to mount on: found inside the root only, made where missing, and gone without a trace."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.targets import Stubs, find


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    (tmp_path / "outside/secret").mkdir(parents=True)
    (tmp_path / "outside/file").write_text("theirs")
    return tmp_path / "outside"


@pytest.fixture
def inside(tmp_path: Path, outside: Path) -> Path:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/hosts").write_text("")
    (root / "abs").symlink_to("/etc")
    (root / "out").symlink_to(outside)
    (root / "up").symlink_to("../../outside")
    (root / "loop").symlink_to("loop")
    return root


@pytest.fixture
def root(inside: Path) -> Iterator[int]:
    descriptor = os.open(inside, os.O_PATH | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def place(descriptor: int) -> str:
    found = os.readlink(f"/proc/self/fd/{descriptor}")
    os.close(descriptor)
    return found


def test_links_are_followed_inside(root: int, inside: Path) -> None:
    assert place(find(root, b"etc/hosts", directory=False)) == f"{inside}/etc/hosts"
    assert place(find(root, b"abs/hosts", directory=False)) == f"{inside}/etc/hosts"
    assert place(find(root, b"../../etc", directory=True)) == f"{inside}/etc"


@pytest.mark.parametrize("path", [b"out/secret", b"up/secret", b"../outside/secret", b"out/file", b"loop/x"])
def test_nothing_outside_is_found_or_made(root: int, outside: Path, path: bytes) -> None:
    with pytest.raises(OSError):
        os.close(find(root, path, directory=True, make=False))
    before = sorted(outside.rglob("*"))
    with Stubs() as stubs:
        try:
            os.close(find(root, path, directory=True, stubs=stubs))
        except OSError:
            pass
    assert sorted(outside.rglob("*")) == before


def test_stubs_vanish_with_times_restored(root: int, inside: Path) -> None:
    os.utime(inside / "etc", ns=(1, 2))
    with Stubs() as stubs:
        os.close(find(root, b"etc/a/b/c", directory=False, stubs=stubs))
        os.close(find(root, b"etc/a/d", directory=True, stubs=stubs))
        assert (inside / "etc/a/b/c").is_file()
    assert sorted(path.name for path in (inside / "etc").iterdir()) == ["hosts"]
    assert (inside / "etc").stat().st_mtime_ns == 2


def test_kept_stubs_stay_and_nothing_is_held_open(root: int, inside: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with Stubs((1, 2), kept=True) as stubs:
        os.close(find(root, b"etc/a/b", directory=False, stubs=stubs))
        assert len(os.listdir("/proc/self/fd")) == before
    assert (inside / "etc/a/b").is_file()
    assert (inside / "etc/a").stat().st_uid == 1


def test_what_has_been_filled_or_replaced_stays(root: int, inside: Path) -> None:
    with Stubs() as stubs:
        for path, directory in ((b"a/b", True), (b"file", False), (b"other", False), (b"gone/x", True)):
            os.close(find(root, path, directory=directory, stubs=stubs))
        (inside / "a/b/new").write_text("")
        (inside / "file").write_text("now a real one")
        (inside / "other").rename(inside / "moved")
        (inside / "other").write_text("")
        (inside / "gone/x").rmdir()
    assert (inside / "a/b/new").exists()
    assert (inside / "file").read_text() == "now a real one"
    assert (inside / "other").exists()
    assert not (inside / "gone").exists()


def test_the_wrong_kind(root: int) -> None:
    with pytest.raises(NotADirectoryError):
        find(root, b"etc/hosts", directory=True)
    with pytest.raises(IsADirectoryError):
        find(root, b"etc", directory=False)
    with pytest.raises(NotADirectoryError):
        find(root, b"etc/hosts/below", directory=True)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(parts=st.lists(st.sampled_from(["a", "etc", "abs", "out", "up", "loop", "..", ".", "hosts", "b"]), max_size=6))
def test_any_path_stays_inside_and_leaves_nothing(root: int, inside: Path, outside: Path, parts: list[str]) -> None:
    before = (sorted(inside.rglob("*")), sorted(outside.rglob("*")), len(os.listdir("/proc/self/fd")))
    with Stubs() as stubs:
        try:
            found = place(find(root, "/".join(parts).encode(), directory=True, stubs=stubs))
        except OSError:
            pass
        else:
            assert found == str(inside) or found.startswith(f"{inside}/")
    assert (sorted(inside.rglob("*")), sorted(outside.rglob("*")), len(os.listdir("/proc/self/fd"))) == before


@pytest.mark.parametrize("directory", [True, False])
def test_what_is_swapped_while_it_is_looked_at_stays(
    root: int, inside: Path, directory: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = inside / "made"
    look = os.stat

    def swap(path: bytes, **more: Any) -> os.stat_result:
        seen = look(path, **more)
        if path == b"made":
            made.rename(inside / "before")
            made.symlink_to("etc") if directory else made.mkdir()
        return seen

    with Stubs() as stubs:
        os.close(find(root, b"made", directory=directory, stubs=stubs))
        monkeypatch.setattr(os, "stat", swap)
    assert made.exists()

"""Whose subordinate ids are whose, and where processes of a user find each other."""

import os
from pathlib import Path

import pytest

from runner import SandboxUnavailable, rootless


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("me:100000:65536\n", [(100000, 65536)]),
        ("other:1:2\nme:5:6\n1000:7:8\nme2:9:9\n", [(5, 6), (7, 8)]),
        ("me:5\nme:a:b\nme:5:0\n:5:5\n# me:1:1\n me:3:4 \n", [(3, 4)]),
    ],
)
def test_subordinate_ids(text: str, found: list[tuple[int, int]]) -> None:
    assert rootless.subordinate(text, "me", 1000) == found


def test_the_runtime_directory_is_ours_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder = rootless._folder(os.geteuid())
    assert folder == tmp_path / "pybuild" and folder.stat().st_mode & 0o777 == 0o700
    assert rootless._folder(os.geteuid()) == folder
    folder.chmod(0o755)
    with pytest.raises(SandboxUnavailable, match="not a directory of yours alone"):
        rootless._folder(os.geteuid())
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(SandboxUnavailable, match="not a directory of yours alone"):
        rootless._folder(os.geteuid())


def test_without_one_it_is_in_tmp(monkeypatch: pytest.MonkeyPatch) -> None:
    number = 4_000_000_000 + os.getpid()
    for given in ("", "relative", "/nowhere"):
        monkeypatch.setenv("XDG_RUNTIME_DIR", given)
        assert rootless._folder(number) == Path(f"/tmp/pybuild-{number}")
    Path(f"/tmp/pybuild-{number}").rmdir()

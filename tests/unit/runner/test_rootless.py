"""Whose subordinate ids are whose, and where processes of a user find each other."""

import os
import pwd
from pathlib import Path

import pytest

from pybuild.doctor import outside
from pybuild.doctor.finding import Lacking
from runner import SandboxUnavailable, delegation, owners, rootless


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


def test_who_is_not_told_of_it_finds_that_of_logind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rootless, "RUNTIME", str(tmp_path))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    (tmp_path / "7").mkdir()
    assert rootless._folder(7) == tmp_path / "7/pybuild"


def test_what_anybody_has_is_not_given_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = (tmp_path / "subuid", tmp_path / "subgid")
    monkeypatch.setattr(outside, "PLACES", places)
    monkeypatch.setenv("SUDO_UID", "1")
    name = pwd.getpwuid(1).pw_name
    places[0].write_text(f"other:100000:65536\n{name}:5:9\nother:x:y\n")
    places[1].write_text("other:100000:65536\nelse:165536:65536\n")
    with pytest.raises(Lacking) as problem:
        outside._subordinate()
    assert problem.value.fix == f"usermod --add-subuids 231072-296607 --add-subgids 231072-296607 {name}"
    places[0].write_text(f"{name}:231072:30000\n1:300000:40000\n")
    with pytest.raises(Lacking) as problem:
        outside._subordinate()
    assert problem.value.fix == f"usermod --add-subgids 340000-405535 {name}"


@pytest.mark.parametrize(
    ("user", "unified", "given", "hint"),
    [
        ("", True, False, "systemd-run --scope"),
        ("1000", True, False, "systemd-run --user --scope"),
        ("1000", True, True, "user@.service"),
        ("1000", False, False, "version 1"),
    ],
)
def test_what_brings_limits(monkeypatch: pytest.MonkeyPatch, user: str, unified: bool, given: bool, hint: str) -> None:
    monkeypatch.setenv(rootless.OWNER, user) if user else monkeypatch.delenv(rootless.OWNER, raising=False)
    assert hint in delegation.advice(unified=unified, given=given)


def test_ids_that_came_later_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners, "nested", lambda: True)
    monkeypatch.setattr(owners, "alone", lambda: True)
    for promised, said in ((False, "you have no subordinate ids"), (True, "stop them first")):
        monkeypatch.setattr(owners, "promised", lambda given=promised: given)
        assert said in owners._single()


def test_where_no_runtime_directory_can_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(rootless, "LAST", f"{tmp_path}/file/pybuild")
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    with pytest.raises(SandboxUnavailable, match="cannot be made"):
        rootless._folder(4_000_000_000 + os.getpid())

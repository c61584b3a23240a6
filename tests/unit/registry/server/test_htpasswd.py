"""Who may come in."""

from __future__ import annotations

import base64
import os
import sys
from pathlib import Path

import bcrypt
import pytest

from registry.server import CannotServe, Htpasswd
from registry.server.faults import Fault


def line(name: str, password: str) -> str:
    return f"{name}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()}\n"


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def refused(users: Htpasswd, header: str | None) -> Fault:
    with pytest.raises(Fault) as raised:
        users.check(header)
    assert (raised.value.code, raised.value.headers[0][0]) == ("UNAUTHORIZED", "WWW-Authenticate")
    return raised.value


def test_users_come_in_and_others_do_not(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text("# people\n\n" + line("ada", "very: secret") + line("bob", "x" * 72))
    users = Htpasswd(path)
    for _ in range(2):
        assert users.check(basic("ada", "very: secret")) == "ada"
        refused(users, basic("ada", "very secret"))
        refused(users, basic("eve", "very: secret"))
        refused(users, basic("", ""))
    assert users.check(basic("bob", "x" * 100)) == "bob", "bcrypt counts 72 bytes"
    for header in (
        None,
        "Basic",
        "Basic !!!",
        "Bearer abc",
        "Basic " + base64.b64encode(b"ada").decode(),
        "Basic /w==",
    ):
        refused(users, header)


def test_the_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text(line("ada", "old"))
    users = Htpasswd(path)
    assert users.check(basic("ada", "old")) == "ada"
    path.write_text(line("ada", "new"))
    os.utime(path, ns=(1, 1))
    refused(users, basic("ada", "old"))
    assert users.check(basic("ada", "new")) == "ada"
    path.write_text("ada:{SHA}nothing")
    os.utime(path, ns=(2, 2))
    refused(users, basic("ada", "new"))


def test_files_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CannotServe, match="cannot be read"):
        Htpasswd(tmp_path / "none")
    path = tmp_path / "users"
    for text in ("ada:$apr1$salt$hash", "ada", "ada:{SHA}abc", "ada:plain"):
        path.write_text(line("bob", "x") + text)
        with pytest.raises(CannotServe, match=r"line 2 has no bcrypt hash.*htpasswd -nB"):
            Htpasswd(path)
    path.write_text(line("ada", "x"))
    monkeypatch.setitem(sys.modules, "bcrypt", None)
    with pytest.raises(CannotServe, match=r"pip install .*htpasswd"):
        Htpasswd(path)

"""`--secret` and `--ssh`: buildx's words, and what is wrong with others."""

import socket
from pathlib import Path

import pytest

from builder import Secret
from pybuild.secrets import agent, secret


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Here are the files `token` and `a,b`, and a directory; there is a variable TOKEN."""
    monkeypatch.chdir(tmp_path)
    for name in ("token", "a,b"):
        Path(name).write_text("x")
    Path("folder").mkdir()
    monkeypatch.setenv("TOKEN", "y")
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("spec", "id", "file", "variable"),
    [
        ("id=token", "token", "token", None),
        ("id=TOKEN", "TOKEN", None, "TOKEN"),
        ("id=a,src=token", "a", "token", None),
        ("type=file,id=a,source=token", "a", "token", None),
        ("id=a,SRC=/dev/null", "a", "/dev/null", None),
        ('id=a,"src=a,b"', "a", "a,b", None),
        ("id=a,env=TOKEN", "a", None, "TOKEN"),
        ("type=env,id=TOKEN", "TOKEN", None, "TOKEN"),
        ("type=env,id=a,src=TOKEN", "a", None, "TOKEN"),
    ],
)
def test_secrets(place: Path, spec: str, id: str, file: str | None, variable: str | None) -> None:
    assert secret(spec) == (id, Secret(None if file is None else place / file, variable))


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("", "has no id"),
        ("src=token", "has no id"),
        ("token", "unknown part 'token'"),
        ("id=a,file=token", "unknown part 'file=token'"),
        ("id=a,src=token,env=TOKEN", "both src and env"),
        ("id=a,type=files,src=token", "type is file or env"),
        ("id=a,type=file,env=TOKEN", "a file has src"),
        ("id=a", "a is not there"),
        ("id=a,src=folder", "folder is a directory"),
        ("id=a,env=NONE", "the environment has no NONE"),
    ],
)
def test_wrong_secrets(spec: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        secret(spec)


def test_agents(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("sock")
        assert agent("git=sock") == ("git", place / "sock")
        monkeypatch.setenv("SSH_AUTH_SOCK", str(place / "sock"))
        assert agent("default") == ("default", place / "sock")
        assert agent("other") == ("other", place / "sock")


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("default", "SSH_AUTH_SOCK is not set"),
        ("=sock", "has no id"),
        ("a=none", "No such file"),
        ("a=token", "ssh-add FILE"),
    ],
)
def test_wrong_agents(spec: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        agent(spec)

"""Objects that live with a process which was left behind: what they give, what they raise, when they end."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner import envoy
from runner.envoy import Errand
from runner.errors import NetworkUnavailable
from tests.support.soon import soon


class Diary:
    """Writes down what happens to it."""

    def __init__(self, path: Path, line: str) -> None:
        if not line:
            raise NetworkUnavailable("nothing to write", "write something")
        self.path = path
        self.write(line)

    def write(self, line: str) -> tuple[int, int]:
        """One more line; who wrote it, and a number."""
        with self.path.open("a") as file:
            file.write(f"{line}\n")
        return os.getpid(), len(line)

    def fail(self) -> None:
        """Raise an error that has words of its own."""
        raise FileNotFoundError(2, "No such thing", "thing")

    def die(self) -> None:
        """End the process."""
        os.kill(os.getpid(), signal.SIGKILL)

    def close(self) -> None:
        """End."""
        self.write("closed")


@pytest.fixture(autouse=True)
def _envoy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(envoy, "_line", [])
    envoy.leave_behind()
    yield
    envoy._line[0].close()
    os.wait()


def test_methods_are_called_there(tmp_path: Path) -> None:
    one, two = Errand(Diary, tmp_path / "one", "a"), Errand(Diary, tmp_path / "two", "b")
    there, size = one.ask("write", "x" * 300_000)
    assert there not in (os.getpid(), two.ask("write", "c")[0]) and size == 300_000
    one.close()
    one.close()
    assert (tmp_path / "one").read_text().splitlines()[-1] == "closed"
    assert (tmp_path / "two").read_text() == "b\nc\n"
    two.close()


def test_what_is_raised_there_is_raised_here(tmp_path: Path) -> None:
    with pytest.raises(NetworkUnavailable, match="nothing to write; write something") as caught:
        Errand(Diary, tmp_path / "x", "")
    assert caught.value.fix == "write something"
    errand = Errand(Diary, tmp_path / "x", "a")
    with pytest.raises(FileNotFoundError, match="No such thing") as missing:
        errand.ask("fail")
    assert (missing.value.errno, missing.value.filename) == (2, "thing")
    assert errand.ask("write", "b")[1] == 1
    with pytest.raises(ConnectionError, match="has died"):
        errand.ask("die")
    errand.close()


def test_it_is_closed_when_we_have_gone_however_hard(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        errand = Errand(Diary, tmp_path / "x", "a")
        errand.ask("write", "b")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert soon(lambda: (tmp_path / "x").read_text() == "a\nb\nclosed\n")


def test_it_does_not_mind_a_terminals_signals(tmp_path: Path) -> None:
    errand = Errand(Diary, tmp_path / "x", "a")
    there = errand.ask("write", "b")[0]
    for number in envoy.IGNORED:
        os.kill(there, number)
    assert errand.ask("write", "c")[0] == there
    errand.close()

"""What a process leaves behind is removed by its spawner, which outlives it."""

from __future__ import annotations

import fcntl
import os
import signal
from pathlib import Path

import pytest

from runner.spawner import Spawner
from tests.support.soon import soon

pytestmark = pytest.mark.root


def left(folder: Path) -> tuple[Path, int]:
    """A directory with something deep in it, locked."""
    path = folder / "left"
    (path / "a/b/c").mkdir(parents=True)
    (path / "a/link").symlink_to("/etc")
    (path / "a/b/file").write_text("x")
    lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return path, lock


def test_it_is_removed_and_what_was_kept_is_let_go_of(tmp_path: Path) -> None:
    spawner = Spawner()
    spawner.warm()
    path, lock = left(tmp_path)
    witness, kept = os.pipe()
    assert spawner.bequeath(tmp_path, path.name, [lock, kept])
    os.close(lock)
    os.close(kept)
    assert os.read(witness, 1) == b"", "the other end is closed"
    os.close(witness)
    assert not path.exists()
    assert Path("/etc/passwd").exists()
    spawner.close()


def test_it_is_removed_when_we_have_gone(tmp_path: Path) -> None:
    spawner = Spawner()
    spawner.warm()
    path, lock = left(tmp_path)
    os.kill(spawner.pid, signal.SIGSTOP)
    assert spawner.bequeath(tmp_path, path.name, [lock])
    os.close(lock)
    assert spawner.launched is not None
    pid = spawner.pid
    spawner.launched.channel.close()
    assert path.exists()
    os.kill(pid, signal.SIGCONT)
    assert os.waitpid(pid, 0)[1] == 0
    assert not path.exists()
    spawner.launched = None
    spawner.close()


def test_nobody_inherits_of_who_has_no_spawner(tmp_path: Path) -> None:
    spawner = Spawner()
    path, lock = left(tmp_path)
    assert not spawner.bequeath(tmp_path, path.name, [lock])
    spawner.warm()
    os.kill(spawner.pid, signal.SIGKILL)
    assert soon(lambda: not spawner.bequeath(tmp_path, path.name, [lock]))
    assert (path / "a/b/file").exists()
    os.close(lock)
    spawner.close()

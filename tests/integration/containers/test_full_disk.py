"""A disk that is full while containers run: they go on, and what was lost is told."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import Pybuild
from tests.support.mounted import mounted
from tests.support.soon import soon

pytestmark = pytest.mark.root
WRITER = "i=0; while [ ! -e /t/end ]; do i=$((i+1)); echo $i; echo $i >/t/count; sleep 0.01; done; exit 5"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Pybuild]:
    """pybuild with a store on a small disk."""
    disk = tmp_path / "disk"
    disk.mkdir()
    with mounted(b"tmpfs", {b"size": b"24m"}, disk):
        command = Pybuild(disk / "store")
        command.base()
        yield command
        if names := command.text("ps", "-aq").split():
            command("rm", "-f", *names)


def fill(command: Pybuild) -> Path:
    """A file that takes all that is left."""
    path = command.root.parent / "fill"
    with path.open("wb", buffering=0) as file:
        for piece in (1 << 20, 4096):
            try:
                while True:
                    file.write(bytes(piece))
            except OSError:
                continue
    return path


def test_it_goes_on_and_its_log_says_what_was_lost(small: Pybuild) -> None:
    small("run", "-d", "--name", "writer", "--network", "none", "--tmpfs", "/t", "busybox", "sh", "-c", WRITER)

    def count() -> int:
        return int(small.text("exec", "writer", "cat", "/t/count") or 0)

    assert soon(lambda: len(small.text("logs", "writer").split()) > 2)
    filled = fill(small)
    before, size = count(), len(small.text("logs", "writer"))
    assert soon(lambda: count() > before + 50)
    assert len(small.text("logs", "writer")) < size + 9000  # what was left of the last block
    os.unlink(filled)
    assert soon(lambda: "bytes of this log were lost" in small("logs", "writer").stderr)
    there = count()
    assert soon(lambda: str(there + 10) in small.text("logs", "writer").split())
    for line in small.text("logs", "writer").split():
        assert line.isdigit()
    small("exec", "writer", "touch", "/t/end")
    assert small.text("wait", "writer") == "5"

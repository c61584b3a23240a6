"""What is made ready for commands to come: it serves them, differs in nothing, and goes when it is not needed."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner import Limits, Sandbox
from runner.native import Native
from runner.spares import MOST
from runner.spawner import Spawner
from tests.support.soon import soon
from tests.support.walls import PATH, busybox

pytestmark = pytest.mark.root

WHO = (
    "id -u; cat /proc/self/cgroup; ls /dev /proc/self/fd; cat /proc/self/mountinfo | wc -l; grep Cap /proc/self/status"
)


@pytest.fixture
def native() -> Iterator[Native]:
    """A runtime with a spawner of its own."""
    spawner = Spawner()
    found = Native(spawner)
    yield found
    found.rest()
    spawner.close()


def said(native: Native, root: Path, line: str, *, more: int, limits: Limits | None = None) -> str:
    """What a command line writes; it must succeed."""
    heard: list[bytes] = []
    sandbox = Sandbox(root, ("sh", "-c", line), PATH, limits=limits or Limits())
    found = native.run(sandbox, lambda _, data: heard.append(data), threading.Event(), more=more)
    assert found.code == 0, heard
    return b"".join(heard).decode()


def test_a_command_in_a_spare_sees_what_any_other_sees(native: Native, tmp_path: Path) -> None:
    root = busybox(tmp_path / "root")
    first = said(native, root, WHO, more=1)
    assert len(native.spares.waiting) == 1
    ready = native.spares.waiting[0]
    assert said(native, root, WHO, more=0) == first
    assert ready not in native.spares.waiting


def test_no_more_are_made_than_will_come(native: Native, tmp_path: Path) -> None:
    root = busybox(tmp_path / "root")
    for more, ready in ((0, 0), (1, 1), (5, MOST), (0, MOST - 1)):
        said(native, root, "true", more=more)
        assert len(native.spares.waiting) == ready


def test_one_with_other_limits_serves_nobody_else(native: Native, tmp_path: Path) -> None:
    root = busybox(tmp_path / "root")
    said(native, root, "true", more=1, limits=Limits(pids=50))
    ready = native.spares.waiting[0]
    said(native, root, "true", more=0)
    assert native.spares.waiting == [ready]


def test_groups_of_one_that_has_ended_go_while_the_next_one_begins(native: Native, tmp_path: Path) -> None:
    root = busybox(tmp_path / "root")
    said(native, root, "true", more=2)
    first = native.spares.waiting[0].cgroup.paths
    for more in (1, 0):
        said(native, root, "true", more=more)
        assert all(path.is_dir() for path in first) == (more == 1)
    assert native.spares.waiting == []


def test_nothing_is_left_of_those_that_were_not_needed(native: Native, tmp_path: Path) -> None:
    root = busybox(tmp_path / "root")
    said(native, root, "true", more=9)
    groups = [path for spare in native.spares.waiting for path in spare.cgroup.paths]
    assert groups
    assert all(path.is_dir() for path in groups)
    native.rest()
    assert not any(path.exists() for path in groups)
    assert native.spares.waiting == []


def test_the_spawner_takes_them_along_and_the_next_command_has_a_new_one(native: Native, tmp_path: Path) -> None:
    root = busybox(tmp_path / "root")
    said(native, root, "true", more=9)
    native.spawner.close()
    native.rest()
    assert said(native, root, "echo here", more=0) == "here\n"


def test_who_waits_is_known_by_number_and_wired_before_all_else(native: Native, tmp_path: Path) -> None:
    sandbox = Sandbox(busybox(tmp_path / "root"), ("true",), PATH)
    assert native.met() == 0
    native.expect(sandbox)
    assert soon(native.met)
    pid = native.met()
    heard: list[tuple[str, int]] = []

    def wire(pid: int) -> Callable[[], None]:
        heard.append(("begun", pid))
        return lambda: heard.append(("ready", pid))

    with Path("/dev/null").open("r+b") as nothing:
        running = native.start(
            sandbox, [nothing.fileno()] * 3, wire=wire, meanwhile=lambda: heard.append(("told", pid))
        )
    assert running.pid == pid
    assert running.wait().code == 0
    assert heard == [("begun", pid), ("ready", pid), ("told", pid)]
    assert native.met() == 0


def test_nothing_stays_open_of_one_that_was_known(native: Native, tmp_path: Path) -> None:
    sandbox = Sandbox(busybox(tmp_path / "root"), ("true",), PATH)
    counts = []
    for _ in range(3):
        native.expect(sandbox)
        assert soon(native.met)
        native.rest()
        counts.append(len(list(Path("/proc/self/fd").iterdir())))
    assert counts[1] == counts[2]

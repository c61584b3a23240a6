"""What is made ready for commands to come: it serves them, differs in nothing, and goes when it is not needed."""

import marshal
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from runner import Limits, NetworkUnavailable, Sandbox, SandboxBroken
from runner.job import Job
from runner.native import Native
from runner.running import Running
from runner.sockets import Socket
from runner.spares import MOST
from runner.spawner import Sown, Spawner
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


@pytest.mark.parametrize("alive", [True, False])
def test_the_spawner_removes_the_groups_of_what_nobody_comes_back_to(
    native: Native, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alive: bool
) -> None:
    """If it was killed, whoever waits for the command does."""
    asked: list[bool] = []
    clear = Spawner.clear

    def noted(spawner: Spawner, groups: Sequence[Path], kept: Sequence[int]) -> bool:
        asked.append(clear(spawner, groups, kept))
        return asked[-1]

    monkeypatch.setattr(Spawner, "clear", noted)
    sandbox = Sandbox(busybox(tmp_path / "root"), ("cat",), PATH, disposable=True)
    reader, writer = os.pipe()
    running = native.start(sandbox, (reader, 2, 2))
    os.close(reader)
    assert running.cgroup is not None
    paths = running.cgroup.paths
    assert paths
    if not alive:
        os.kill(native.spawner.pid, signal.SIGKILL)
        assert soon(lambda: not Path(f"/proc/{native.spawner.pid}").exists() or _ended(native.spawner.pid))
    os.close(writer)
    assert running.wait().code == (0 if alive else 137)
    assert asked == [alive]
    assert soon(lambda: not any(path.exists() for path in paths)) if alive else not any(map(Path.exists, paths))


def _ended(pid: int) -> bool:
    return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()


def test_paths_that_are_too_long_for_a_message_are_nobody_elses(native: Native, tmp_path: Path) -> None:
    native.spawner.warm()
    lock = os.open(tmp_path, os.O_RDONLY)
    assert not native.spawner.clear([tmp_path / ("x" * 200)] * 20, [lock])
    assert not native.spawner.clear([tmp_path], [])
    assert native.spawner.clear([tmp_path], [lock])
    os.close(lock)
    assert soon(lambda: not tmp_path.exists())


def test_groups_of_others_that_share_their_processes_stay_ours(native: Native, tmp_path: Path) -> None:
    """Somebody may live on there, so nobody else has them taken away."""
    root = busybox(tmp_path / "root")
    sandbox = Sandbox(root, ("sh", "-c", "sleep 600 & true"), PATH, disposable=True, shares=frozenset({"pid"}))
    running = native.start(sandbox, (0, 2, 2))
    assert running.cgroup is not None
    paths = running.cgroup.paths
    assert running.wait().code == 0
    assert not any(path.exists() for path in paths)


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


Wire = Callable[[int], Callable[[], None]]


def started(native: Native, sandbox: Sandbox, wire: Wire, told: Callable[[], None] = lambda: None) -> Running:
    """A command that is wired, its streams nowhere."""
    with Path("/dev/null").open("r+b") as nothing:
        return native.start(sandbox, [nothing.fileno()] * 3, wire=wire, meanwhile=told)


@pytest.mark.parametrize("sysctls", [(), (("net.ipv4.ip_unprivileged_port_start", "7"),)])
def test_who_waits_is_known_by_number_and_wired_as_soon_as_can_be(
    native: Native, tmp_path: Path, sysctls: tuple[tuple[str, str], ...]
) -> None:
    """Settings of the network are made when it is there, all else meanwhile."""
    sandbox = Sandbox(busybox(tmp_path / "root"), ("true",), PATH, sysctls=sysctls)
    assert native.met()[0] == 0
    native.expect(sandbox)
    assert soon(lambda: native.met()[0])
    pid, _ = native.met()
    heard: list[tuple[str, int]] = []

    def wire(pid: int) -> Callable[[], None]:
        heard.append(("begun", pid))
        return lambda: heard.append(("ready", pid))

    running = started(native, sandbox, wire, lambda: heard.append(("told", pid)))
    assert running.pid == pid
    assert running.wait().code == 0
    assert [pid for _, pid in heard] == [pid] * 3
    assert [word for word, _ in heard] == (["begun", "ready", "told"] if sysctls else ["begun", "told", "ready"])
    assert native.met()[0] == 0


def test_nothing_runs_before_its_network_is_there(native: Native, tmp_path: Path) -> None:
    root = busybox(tmp_path / "root")
    sandbox = Sandbox(root, ("sh", "-c", "test -e /there || touch /early"), PATH)

    def late() -> None:
        time.sleep(0.3)
        (root / "there").touch()

    assert started(native, sandbox, lambda _: late).wait().code == 0
    assert not (root / "early").exists()


def test_nothing_runs_whose_network_cannot_be_had(native: Native, tmp_path: Path) -> None:
    root = busybox(tmp_path / "root")
    sandbox = Sandbox(root, ("touch", "/ran"), PATH)

    def refuse() -> None:
        raise NetworkUnavailable("it is too late", "come earlier")

    before = children()
    with pytest.raises(NetworkUnavailable):
        started(native, sandbox, lambda _: refuse)
    assert soon(lambda: children() == before), "its process has gone"
    assert not (root / "ran").exists()


def test_what_breaks_is_told_by_one_that_has_not_read_all() -> None:
    """Its end resets the connection on which it has told why."""
    (reply, far_reply), (status, far_status) = Socket.pair(), Socket.pair()
    with far_reply, far_status:
        pidfd = os.pidfd_open(os.getpid())
        far_reply.send_with(marshal.dumps(("born", os.getpid())), [pidfd])
        os.close(pidfd)

        def break_down() -> None:
            far_status.send(marshal.dumps(("walls", 40, b"/proc")))
            far_status.close()

        with pytest.raises(SandboxBroken, match="/proc"):
            Sown(reply, status).grow(Job(), [], meanwhile=break_down)


def children() -> set[str]:
    """Processes of the spawners of this process."""
    mine = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {one for child in mine for one in Path(f"/proc/{child}/task/{child}/children").read_text().split()}


def test_nothing_stays_open_of_one_that_was_known(native: Native, tmp_path: Path) -> None:
    sandbox = Sandbox(busybox(tmp_path / "root"), ("true",), PATH)
    counts = []
    for _ in range(3):
        native.expect(sandbox)
        assert soon(lambda: native.met()[0])
        native.rest()
        counts.append(len(list(Path("/proc/self/fd").iterdir())))
    assert counts[1] == counts[2]

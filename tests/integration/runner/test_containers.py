"""What containers need of the runtime: terminals, input, signals, further commands inside, pausing, sudden death."""

import errno
import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from runner import Identity, Limits, SandboxUnavailable
from runner.adjust import adjust
from runner.cgroups import group_of, is_ours
from runner.freezer import freeze
from runner.ids import Ids
from runner.meters import measure
from runner.running import Running
from runner.sweep import sweep
from tests.support.soon import in_front, soon
from tests.support.walls import PATH, Walled

pytestmark = pytest.mark.root
REPOSITORY = Path(__file__).parents[3]


class Talk:
    """A command with pipes at its streams."""

    def __init__(self, walled: Walled, *args: str, inside: int | None = None, **more: Any) -> None:
        there, self.input = os.pipe()
        self.output, back = os.pipe()
        try:
            sandbox = walled.sandbox(*args, **more)
            streams = [there, back, back]
            native = walled.native
            self.running = (
                native.start(sandbox, streams) if inside is None else native.exec_in(inside, sandbox, streams)
            )
        finally:
            os.close(there)
            os.close(back)

    def line(self, timeout: float = 20) -> str:
        """The next line that it says."""
        said = b""
        while not said.endswith(b"\n"):
            assert select.select([self.output], [], [], timeout)[0], f"nothing after {said!r}"
            if not (one := os.read(self.output, 1)):
                break
            said += one
        return said.decode()


@pytest.fixture
def shell(walled: Walled) -> Iterator[Talk]:
    """A container whose PID 1 reads commands."""
    one = Talk(walled, "sh", "-s", limits=Limits(pids=50))
    yield one
    os.close(one.input)
    one.running.kill()
    one.running.wait()
    os.close(one.output)


def hear(master: int, until: bytes, timeout: float = 20) -> bytes:
    """What a terminal says, until it has said `until`."""
    said = b""
    while until not in said:
        assert select.select([master], [], [], timeout)[0], f"nothing after {said!r}"
        try:
            piece = os.read(master, 4096)
        except OSError as problem:
            assert problem.errno == errno.EIO
            break
        said += piece
    return said


def test_input_reaches_the_command(shell: Talk) -> None:
    os.write(shell.input, b"echo $((6 * 7)) from $$\n")
    assert shell.line() == "42 from 1\n"


def test_the_pid_is_that_of_the_host(shell: Talk) -> None:
    assert b"sh\0-s" in Path(f"/proc/{shell.running.pid}/cmdline").read_bytes()
    group = group_of(shell.running.pid)
    assert group is not None
    assert shell.running.pid in group.processes()


def test_signals_reach_the_command(shell: Talk) -> None:
    os.write(shell.input, b"trap 'echo usr1' USR1; echo ready\n")
    assert shell.line() == "ready\n"
    shell.running.signal(signal.SIGUSR1)
    os.write(shell.input, b"\n")
    assert shell.line() == "usr1\n"


def test_a_further_command_shares_namespaces_root_and_group(walled: Walled, shell: Talk) -> None:
    os.write(shell.input, b"echo kept >/tmp/kept; hostname; ls -di /proc/self/ns/net /\n")
    hostname = shell.line()
    pid = shell.running.pid
    line = "cat /tmp/kept; hostname; cat /proc/1/comm; grep -c pybuild /proc/self/cgroup; cat /proc/self/status"
    inside = Talk(walled, line, inside=pid)
    try:
        assert (inside.line(), inside.line(), inside.line()) == ("kept\n", hostname, "sh\n")
        names = ("mnt", "pid", "ipc", "uts", "net", "cgroup")
        assert inside.line() == "0\n"
        rest = "".join(iter(inside.line, ""))
        assert "CapEff:\t00000000a80425fb" in rest
        assert "Seccomp:\t2" in rest
    finally:
        os.close(inside.input)
        os.close(inside.output)
        assert inside.running.wait().code == 0
    second = Talk(walled, "sleep", "1000", inside=pid)
    for name in names:
        ours = os.readlink(f"/proc/{second.running.pid}/ns/{name}")
        assert ours == os.readlink(f"/proc/{pid}/ns/{name}")
        assert ours != os.readlink(f"/proc/self/ns/{name}")
    group = group_of(pid)
    assert group is not None
    assert second.running.pid in group.processes()
    second.running.kill()
    assert second.running.wait().code == 137
    os.close(second.input)
    os.close(second.output)


def test_a_further_command_has_its_own_words_user_and_directory(walled: Walled, shell: Talk) -> None:
    more = {"identity": Identity(1000, 33, (33,)), "cwd": "/tmp", "env": {**PATH, "X": "y"}}
    inside = Talk(walled, "id -u; id -g; pwd; echo $X; exit 17", inside=shell.running.pid, **more)
    assert [inside.line() for _ in range(4)] == ["1000\n", "33\n", "/tmp\n", "y\n"]
    os.close(inside.input)
    os.close(inside.output)
    assert inside.running.wait().code == 17
    missing = Talk(walled, "no-such", "thing", inside=shell.running.pid)
    assert "not found in PATH" in missing.line()
    os.close(missing.input)
    os.close(missing.output)
    assert missing.running.wait().code == 127


def test_a_further_command_has_no_more_rights_than_the_first(walled: Walled) -> None:
    first = Talk(walled, "sh", "-s", capabilities=frozenset({"KILL"}))
    inside = Talk(walled, "grep CapBnd /proc/self/status", inside=first.running.pid)
    assert inside.line() == "CapBnd:\t0000000000000020\n"
    for one in (inside, first):
        os.close(one.input)
        os.close(one.output)
        one.running.wait()


@pytest.mark.parametrize(
    "more", [{"userns": Ids.same()}, {"time_offset": 1_000_000}, {"network": "host"}, {"init": True}]
)
def test_a_further_command_follows_into_every_kind_of_namespace(walled: Walled, more: dict[str, Any]) -> None:
    first = Talk(walled, "sh", "-s", **more)
    inside = Talk(walled, "id -u; cat /proc/uptime; echo x >/tmp/x; cat /tmp/x", inside=first.running.pid)
    pid = first.running.pid
    assert inside.line() == "0\n"
    ahead = float(inside.line().split()[0]) - float(Path("/proc/uptime").read_text().split()[0])
    assert round(ahead, -3) == more.get("time_offset", 0)
    assert inside.line() == "x\n"
    second = Talk(walled, "sleep", "1000", inside=pid)
    for name in ("mnt", "pid", "ipc", "uts", "net", "cgroup", "user", "time"):
        link = f"/proc/{second.running.pid}/ns/{name}"
        assert os.readlink(link) == os.readlink(f"/proc/{pid}/ns/{name}"), name
    second.running.kill()
    for one in (inside, second, first):
        os.close(one.input)
        os.close(one.output)
        one.running.wait()


def test_further_commands_end_with_the_first(walled: Walled, shell: Talk) -> None:
    inside = Talk(walled, "sleep", "1000", inside=shell.running.pid)
    os.write(shell.input, b"exit 3\n")
    assert shell.line() == ""
    assert inside.running.wait().code == 137
    os.close(inside.input)
    os.close(inside.output)


def test_nothing_can_be_started_where_nothing_runs(walled: Walled) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    with pytest.raises(SandboxUnavailable, match="has ended"):
        Talk(walled, "true", inside=gone.pid)


def test_a_process_that_is_not_ours_is_not_entered(walled: Walled) -> None:
    with pytest.raises(SandboxUnavailable):
        Talk(walled, "true", inside=os.getpid())


def test_descriptors_of_further_commands_do_not_leak(walled: Walled, shell: Talk) -> None:
    inside = Talk(walled, "ls /proc/$$/fd; exec true", inside=shell.running.pid)
    assert [inside.line() for _ in range(3)] == ["0\n", "1\n", "2\n"]
    assert inside.line() == ""
    os.close(inside.input)
    os.close(inside.output)
    inside.running.wait()


@contextmanager
def terminal(walled: Walled, *args: str, inside: int | None = None, **more: Any) -> Iterator[tuple[Running, int]]:
    nothing = os.open(os.devnull, os.O_RDWR)
    native, sandbox = walled.native, walled.sandbox(*args, **more)
    try:
        streams = [nothing] * 3
        start = native.start(sandbox, streams, tty=True) if inside is None else None
        running = start or native.exec_in(inside or 0, sandbox, streams, tty=True)
    finally:
        os.close(nothing)
    assert running.master is not None
    try:
        yield running, running.master
    finally:
        os.close(running.master)
        running.kill()


@pytest.mark.parametrize("identity", [Identity(), Identity(1000, 1000)])
def test_a_terminal_is_a_real_one(walled: Walled, identity: Identity) -> None:
    line = "tty; ls -l /dev/console >/dev/null && echo console; echo again >/dev/tty; sleep 0.2"
    with terminal(walled, line, identity=identity) as (running, master):
        said = hear(master, b"again\r\n")
        assert said.replace(b"\r\n", b"\n") == b"/dev/pts/0\nconsole\nagain\n"
        hear(master, b"?")
        assert running.wait().code == 0


def test_a_terminal_has_job_control_and_a_size(walled: Walled) -> None:
    with terminal(walled, "sh", "-i") as (running, master):
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("4H", 40, 120, 0, 0))
        hear(master, b"# ")
        os.write(master, b"stty size\n")
        assert b"40 120" in hear(master, b"40 120\r\n")
        os.write(master, b"sleep 1000\n")
        hear(master, b"sleep 1000\r\n")
        assert soon(lambda: in_front(running.pid, "sleep"))
        os.write(master, b"\x03")
        hear(master, b"# ")
        os.write(master, b"echo rc $?; exit 6\n")
        assert b"rc 130" in hear(master, b"rc 130")
        hear(master, b"?" * 100)
        assert running.wait().code == 6


def test_a_terminal_under_an_init(walled: Walled) -> None:
    with terminal(walled, "sh", "-i", init=True) as (running, master):
        os.write(master, b"sleep 1000\n")
        hear(master, b"sleep 1000\r\n")
        assert soon(lambda: in_front(running.pid, "sleep"))
        os.write(master, b"\x03")
        os.write(master, b"echo rc $?; exit 5\n")
        assert b"rc 130" in hear(master, b"rc 130")
        hear(master, b"?" * 100)
        assert running.wait().code == 5


def test_a_further_command_has_a_terminal_too(walled: Walled, shell: Talk) -> None:
    with terminal(walled, "tty; sleep 0.2", inside=shell.running.pid) as (running, master):
        assert hear(master, b"\n") == b"/dev/pts/0\r\n"
        hear(master, b"?")
        assert running.wait().code == 0


def test_hanging_up_ends_who_listens(walled: Walled) -> None:
    with terminal(walled, "sleep 1000; sleep 1000") as (running, master):
        assert running.master == master
    assert running.wait().code == 137


def test_nothing_can_be_started_among_the_paused(walled: Walled, shell: Talk) -> None:
    group = shell.running.cgroup
    assert group is not None
    group.freeze()
    with pytest.raises(SandboxUnavailable, match="is paused"):
        Talk(walled, "true", inside=shell.running.pid)
    group.freeze(frozen=False)


def test_pausing_stops_time_and_killing_works_while_paused(shell: Talk) -> None:
    group = shell.running.cgroup
    assert group is not None
    group.freeze()
    assert group.frozen
    os.write(shell.input, b"echo late\n")
    assert select.select([shell.output], [], [], 0.3)[0] == []
    group.freeze(frozen=False)
    assert shell.line() == "late\n"
    group.freeze()
    shell.running.kill()
    assert select.select([shell.running], [], [], 20)[0]


DOOMED = """
import sys, threading
from pathlib import Path
from runner import Sandbox, Limits
from runner.native import Native
from runner.spawner import Spawner
line = "(setsid sleep 31337 &); (trap '' TERM HUP INT; while :; do sleep 1; done) & echo ready; sleep 31337"
sandbox = Sandbox(Path(sys.argv[1]), ("/bin/sh", "-c", line), {"PATH": "/bin"}, limits=Limits(pids=50))
Native(Spawner()).run(sandbox, lambda _, data: (sys.stdout.write(data.decode()), sys.stdout.flush()), threading.Event())
"""


def test_limits_change_and_meters_turn_while_it_runs(shell: Talk) -> None:
    group, running = shell.running.cgroup, shell.running
    assert group is not None
    old, new = Limits(pids=50), Limits(pids=20, memory=64 << 20, memory_swap=64 << 20, cpus=0.5)
    adjust(group, old, new)
    reading = measure(group, running.pid)
    assert (reading.limit, reading.pids) == (64 << 20, 1)
    assert reading.memory > 0
    os.write(shell.input, b"(i=0; while [ $i -lt 30 ]; do sleep 5 & i=$((i+1)); done) 2>/dev/null; echo $?\n")
    assert shell.line() != "0\n"  # a fork failed
    adjust(group, new, Limits(pids=50))
    assert measure(group, running.pid).limit > 64 << 20
    freeze(group)
    before = measure(group, running.pid).cpu_seconds
    time.sleep(0.1)
    assert measure(group, running.pid).cpu_seconds == before


def inhabitants(root: Path) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and os.path.samefile(entry / "root", root):
                found.append(entry.name)
    return found


def test_nobody_survives_the_sudden_death_of_the_maker(walled: Walled) -> None:
    maker = subprocess.Popen(
        [sys.executable, "-c", DOOMED, walled.root], stdout=subprocess.PIPE, cwd=REPOSITORY, text=True
    )
    assert maker.stdout is not None
    assert maker.stdout.readline() == "ready\n"
    inside = inhabitants(walled.root)
    assert len(inside) >= 3
    group = group_of(int(inside[0]))
    assert group is not None
    maker.kill()
    maker.wait()
    maker.stdout.close()
    until = time.monotonic() + 60
    while inhabitants(walled.root) and time.monotonic() < until:
        time.sleep(0.02)
    assert inhabitants(walled.root) == []
    assert [path for path in group.paths if not is_ours(path.name)] == []

    def gone() -> bool:
        """This is all that is left of it; another's sweep may be quicker, or just looking at it."""
        swept = sweep()
        return all(not path.exists() for path in (*group.paths, *swept))

    assert soon(gone)
    for stub in ("proc", "sys", "dev"):
        assert list((walled.root / stub).iterdir()) == []  # empty directories, nothing mounted

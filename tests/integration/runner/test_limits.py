"""Ceilings that hold, numbers that are true, and nothing left of whoever met them."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner import Limits, LimitUnavailable, SandboxBroken
from runner.cgroups import is_ours
from tests.support.walls import Walled

pytestmark = pytest.mark.root

MIB = 1 << 20
EATER = "dd if=/dev/zero of=/dev/null bs=200M count=1"


def groups() -> set[str]:
    return {os.path.join(top, name) for top, names, _ in os.walk("/sys/fs/cgroup") for name in names if is_ours(name)}


@pytest.fixture(autouse=True)
def nothing_left(walled: Walled) -> Iterator[None]:
    """No group that was not there before. Other tests of this machine may be at work, so new ones get a while."""
    before = groups()
    yield
    until = time.monotonic() + 60
    while (left := groups() - before) and time.monotonic() < until:
        time.sleep(0.1)
    assert left == set()


def test_a_memory_bomb_is_killed_and_said_so(walled: Walled) -> None:
    found = walled("exec " + EATER, limits=Limits(memory=32 * MIB, memory_swap=32 * MIB)).exit
    assert (found.code, found.oom_killed) == (137, True)
    assert found.usage.oom_kills >= 1
    assert found.usage.memory_peak is None or found.usage.memory_peak <= 32 * MIB


def test_want_of_memory_is_seen_even_if_a_shell_goes_on(walled: Walled) -> None:
    found = walled(EATER + " | cat; exit 0", limits=Limits(memory=32 * MIB, memory_swap=32 * MIB)).exit
    assert (found.code, found.oom_killed) == (0, True)


def test_the_page_cache_is_no_want_of_memory(walled: Walled) -> None:
    kind = subprocess.run(["stat", "-f", "-c", "%T", walled.root], capture_output=True, text=True, check=True).stdout
    if kind.strip() == "tmpfs":
        pytest.skip("the root is a tmpfs here, whose files are memory")
    line = "dd if=/dev/zero of=/big bs=1M count=64 2>/dev/null && cat /big | wc -c"
    found = walled(line, limits=Limits(memory=24 * MIB))
    assert (found.exit.code, found.exit.oom_killed, found.out) == (0, False, f"{64 * MIB}\n")


def test_a_neighbour_does_not_notice(walled: Walled) -> None:
    for name in ("proc", "sys", "dev"):
        (walled.root / name).mkdir()
    ended = []
    neighbour = threading.Thread(target=lambda: ended.append(walled("sleep 1; exit 5").exit))
    neighbour.start()
    assert walled("exec " + EATER, limits=Limits(memory=24 * MIB, memory_swap=24 * MIB)).exit.oom_killed
    neighbour.join()
    assert [(one.code, one.oom_killed) for one in ended] == [(5, False)]


def test_a_fork_bomb_meets_its_ceiling_and_goes_with_its_maker(walled: Walled) -> None:
    line = "bomb() { bomb | bomb & }; bomb 2>/dev/null; sleep 1; echo alive"
    found = walled(line, limits=Limits(pids=40, seconds=20))
    assert found.exit.usage.pids_peak is None or found.exit.usage.pids_peak == 40
    assert found.exit.usage.wall_seconds < 40
    assert walled("echo well").out == "well\n"


@pytest.mark.parametrize("memory", [4096, 65536, 512 * 1024])
def test_too_little_memory_even_to_begin(walled: Walled, memory: int) -> None:
    """Whether the kernel kills it on the way or refuses it something, it ends, says so, and the next one runs."""
    try:
        found = walled("true", limits=Limits(memory=memory, memory_swap=memory)).exit
    except (SandboxBroken, LimitUnavailable):
        pass
    else:
        assert (found.code, found.oom_killed) in ((137, True), (0, False))
    assert walled("exit 6").exit.code == 6


def test_no_room_for_a_process_beside_init(walled: Walled) -> None:
    with pytest.raises(SandboxBroken, match="temporarily unavailable"):
        walled("true", limits=Limits(pids=1), init=True)


def test_processes_are_counted(walled: Walled) -> None:
    line = "for i in 1 2 3 4 5 6 7 8; do sleep 2 & done; wait"
    found = walled(line, limits=Limits(pids=5))
    assert found.exit.code != 0
    assert "fork" in found.err


def test_a_time_limit_ends_what_never_would(walled: Walled) -> None:
    found = walled("sleep 1000", limits=Limits(seconds=0.5), grace=0.2).exit
    assert (found.code, found.timed_out) == (137, True)
    assert 0.5 <= found.usage.wall_seconds < 10


def test_a_time_limit_asks_first(walled: Walled) -> None:
    line = "trap 'echo bye; exit 9' TERM; while :; do sleep 0.05; done"
    found = walled(line, limits=Limits(seconds=2), grace=20.0)
    assert (found.exit.code, found.exit.timed_out, found.out) == (9, True, "bye\n")


def test_a_time_limit_that_is_not_met_says_nothing(walled: Walled) -> None:
    assert not walled("true", limits=Limits(seconds=100)).exit.timed_out


def test_who_ignores_the_signal_is_killed_after_the_grace(walled: Walled) -> None:
    stop = threading.Event()
    line = "trap '' TERM; (setsid sh -c 'trap \"\" TERM; echo deaf; sleep 1000' &); sleep 1000"
    found = walled.native.run(walled.sandbox(line, grace=0.5), lambda *_: stop.set(), stop)
    assert (found.code, found.signal, found.timed_out) == (137, 9, False)
    assert 0.5 <= found.usage.wall_seconds < 20


def test_cpu_time_is_counted_and_limited(walled: Walled) -> None:
    found = walled("while :; do :; done", limits=Limits(cpus=0.2, seconds=2), grace=0.1).exit.usage
    assert 0.1 < found.user_seconds + found.system_seconds < 0.9
    assert found.wall_seconds >= 2


def test_one_processor_is_all_it_sees(walled: Walled) -> None:
    found = walled("grep Cpus_allowed_list /proc/self/status", limits=Limits(cpuset_cpus="0"))
    assert found.out.split() == ["Cpus_allowed_list:", "0"]


def test_what_the_machine_does_not_have_is_refused(walled: Walled) -> None:
    with pytest.raises(LimitUnavailable, match=r"cpuset-cpus.*4000"):
        walled("true", limits=Limits(cpuset_cpus="4000"))


def test_every_limit_at_once(walled: Walled) -> None:
    limits = Limits(
        memory=64 * MIB, memory_swap=128 * MIB, memory_reservation=32 * MIB, cpus=1.5, cpu_shares=512, pids=100,
        cpuset_cpus="0", cpuset_mems="0", seconds=60,
    )  # fmt: skip
    try:
        assert walled("echo in", limits=limits).out == "in\n"
    except LimitUnavailable as problem:  # a kernel that does not count swap says so
        assert problem.limit == "memory_swap"


def test_shared_memory_has_its_size(walled: Walled) -> None:
    found = walled("dd if=/dev/zero of=/dev/shm/x bs=64k count=100", shm_size=MIB)
    assert "No space left" in found.err


def test_a_flood_of_output_does_not_stop_anything(walled: Walled) -> None:
    total = 0

    def count(_: int, data: bytes) -> None:
        nonlocal total
        total += len(data)

    line = "dd if=/dev/zero bs=1M count=200 2>/dev/null"
    assert walled.native.run(walled.sandbox(line), count, threading.Event()).code == 0
    assert total == 200 * MIB


def test_descriptors_do_not_pile_up(walled: Walled) -> None:
    walled("true")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        walled("true")
        with pytest.raises(LimitUnavailable):
            walled("true", limits=Limits(cpuset_cpus="4000"))
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_spawner_that_was_killed_is_started_again(walled: Walled) -> None:
    walled("true")
    spawner = walled.native.spawner.pid
    assert Path(f"/proc/{spawner}/cmdline").read_bytes().find(b"runner.zygote") > 0
    os.kill(spawner, 9)
    os.waitid(os.P_PID, spawner, os.WEXITED | os.WNOWAIT)
    assert walled("exit 4").exit.code == 4
    assert walled.native.spawner.pid != spawner

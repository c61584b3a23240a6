"""Memory that runs out while somebody looks: everybody stops, is given more, and comes to a good end."""

import os
import queue
import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from layers.quick import replace
from runner import Limits
from runner.adjust import adjust
from runner.cgroups import Cgroup, group_of
from runner.pressure import Pressure, Watch
from runner.running import Running
from tests.support.walls import Walled

pytestmark = pytest.mark.root

MIB = 1 << 20
EATER = "a=0123456789abcdef; i=0; while [ $i -lt 21 ]; do a=$a$a; i=$((i+1)); done; echo ${#a}"
"""A string of 32 MiB."""
FREEZING = Limits(memory=24 * MIB, memory_swap=24 * MIB, oom_policy="freeze")


def more(mebibytes: int) -> Limits:
    """The same with another limit."""
    return replace(FREEZING, memory=mebibytes * MIB, memory_swap=mebibytes * MIB)


def said(reader: int) -> bytes:
    """The next piece of output."""
    assert select.select([reader], [], [], 60)[0]
    return os.read(reader, 100)


@contextmanager
def started(walled: Walled, line: str, limits: Limits) -> Iterator[tuple[Running, int]]:
    """A command that has begun, and the end of its output."""
    reader, writer = os.pipe()
    nothing = os.open(os.devnull, os.O_RDONLY)
    running = walled.native.start(walled.sandbox(line, limits=limits), [nothing, writer, writer])
    os.close(writer)
    os.close(nothing)
    try:
        yield running, reader
    finally:
        os.close(reader)
        if not running._over:
            running.kill()
            running.wait()


def test_frozen_for_want_of_memory_and_well_with_more(walled: Walled) -> None:
    told: queue.Queue[Pressure] = queue.Queue()
    with started(walled, EATER, FREEZING) as (running, reader):
        assert running.cgroup is not None
        with Watch(running.cgroup, told.put, freeze=True):
            first = told.get(timeout=60)
            assert (first.what, first.limit) == ("frozen", 24 * MIB)
            assert first.usage > 12 * MIB
            assert running.cgroup.frozen
            found = group_of(running.pid)
            assert found is not None
            adjust(found, FREEZING, more(400))
            assert told.get(timeout=60).what == "thawed"
            assert said(reader) == b"33554432\n"
            ended = running.wait()
        assert (ended.code, ended.oom_killed) == (0, False)
        assert told.empty()


def test_no_system_call_fails_for_want_of_memory(walled: Walled) -> None:
    told: queue.Queue[Pressure] = queue.Queue()
    piece = "dd if=/dev/zero bs=64k count=1 2>/dev/null >>/dev/shm/x || exit 9"
    line = f"i=0; while [ $i -lt 640 ]; do {piece}; i=$((i+1)); done; stat -c %s /dev/shm/x"
    with started(walled, line, FREEZING) as (running, reader):
        assert running.cgroup is not None
        with Watch(running.cgroup, told.put, freeze=True):
            assert told.get(timeout=60).what == "frozen"
            adjust(running.cgroup, FREEZING, more(400))
            assert said(reader) == b"41943040\n"
            assert running.wait().code == 0


def test_who_is_let_go_on_with_what_there_is_may(walled: Walled) -> None:
    told: queue.Queue[Pressure] = queue.Queue()
    line = "dd if=/dev/zero bs=1M count=57 of=/dev/shm/x 2>/dev/null; sleep 0.3; echo on; sleep 100"
    with started(walled, line, more(64)) as (running, reader):
        assert running.cgroup is not None
        with Watch(running.cgroup, told.put, freeze=True):
            assert told.get(timeout=60).what == "frozen"
            running.cgroup.freeze(frozen=False)
            assert said(reader) == b"on\n"


def test_a_little_more_is_not_enough(walled: Walled) -> None:
    told: queue.Queue[Pressure] = queue.Queue()
    with started(walled, EATER, FREEZING) as (running, _):
        assert running.cgroup is not None
        with Watch(running.cgroup, told.put, freeze=True):
            assert told.get(timeout=60).what == "frozen"
            adjust(running.cgroup, FREEZING, more(36))
            assert told.get(timeout=60).what == "thawed"
            assert told.get(timeout=60).limit == 36 * MIB
            running.kill()
            assert running.wait().code == 137


def test_who_is_frozen_can_be_killed(walled: Walled) -> None:
    told: queue.Queue[Pressure] = queue.Queue()
    with started(walled, EATER + " & sleep 1000", FREEZING) as (running, _):
        assert running.cgroup is not None
        with Watch(running.cgroup, told.put, freeze=True):
            assert told.get(timeout=60).what == "frozen"
            running.kill()
            assert running.wait().code == 137


def test_a_kill_is_told_while_it_happens(walled: Walled) -> None:
    told: queue.Queue[Pressure] = queue.Queue()
    limits = Limits(memory=24 * MIB, memory_swap=24 * MIB)
    line = f"sh -c '{EATER}'; sleep 0.5; echo on"
    with started(walled, line, limits) as (running, _):
        assert running.cgroup is not None
        with Watch(running.cgroup, told.put):
            assert told.get(timeout=60).what == "killed"
            ended = running.wait()
        assert (ended.code, ended.oom_killed) == (0, True)


def test_files_are_no_want_of_memory(walled: Walled) -> None:
    told: queue.Queue[Pressure] = queue.Queue()
    with started(walled, "dd if=/dev/zero of=/big bs=1M count=60 2>&1; cat /big | wc -c", FREEZING) as (running, _):
        assert running.cgroup is not None
        if os.major(os.stat(walled.root).st_dev) == 0:
            pytest.skip("the root is a tmpfs here, whose files are memory")
        with Watch(running.cgroup, told.put, freeze=True):
            assert running.wait().code == 0
        assert told.empty()


def test_a_watch_leaves_nothing(walled: Walled, monkeypatch: pytest.MonkeyPatch) -> None:
    broken: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", broken.append)
    walled("true")
    before, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(3):
        with started(walled, "true", FREEZING) as (running, _), Watch(running.cgroup or Cgroup({}, None), print):
            running.wait()
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == (before, threads)
    assert broken == [], "the group goes while it is looked at"

"""Locks by key: the kernel keeps them, and gives them back."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.disk.keylocks import ROOM_BITS, KeyLocks, place

HOLDER = """
import sys
from pathlib import Path
from layers.disk.keylocks import KeyLocks
locks = KeyLocks(Path(sys.argv[1]))
print(locks.take("a"), flush=True)
sys.stdin.read()
"""


def holder(path: Path, *prefix: str) -> "subprocess.Popen[str]":
    """A process that wants the lock of "a", and keeps it until its input ends."""
    words = [*prefix, sys.executable, "-c", HOLDER, str(path)]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def answer(process: "subprocess.Popen[str]") -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


@given(st.text(), st.text())
def test_ranges_are_apart_and_longer_than_any_number_of_a_process(one: str, other: str) -> None:
    first, second = place(one), place(other)
    assert first % (1 << ROOM_BITS) == 0
    assert 0 <= first <= (1 << 63) - (1 << ROOM_BITS)
    assert (first == second) == (one == other)
    assert int(Path("/proc/sys/kernel/pid_max").read_text()) <= 1 << ROOM_BITS


def test_two_holders_and_many_keys(tmp_path: Path) -> None:
    one, other = KeyLocks(tmp_path / "locks"), KeyLocks(tmp_path / "locks")
    keys = [f"key {number}" for number in range(500)]
    assert not any(map(one.take, keys[::2])) and not any(map(other.take, keys[1::2]))
    assert {other.take(key) for key in keys[::2]} == {os.getpid()} == {one.take(key) for key in keys[1::2]}
    for key in keys[::2]:
        one.free(key)
    assert not any(map(other.take, keys))
    assert {one.take(key) for key in keys} == {os.getpid()}
    assert os.stat(tmp_path / "locks").st_size == 0


def test_marks_change(tmp_path: Path) -> None:
    one, other = KeyLocks(tmp_path / "locks"), KeyLocks(tmp_path / "locks")
    seen = [one.mark("a")]
    for _ in range(5):
        other.change("a")
        seen.append(one.mark("a"))
    assert len(set(seen)) == 6
    assert os.stat(tmp_path / "locks").st_size <= 32768


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    locks = KeyLocks(tmp_path / "locks")
    with holder(tmp_path / "locks") as process:
        assert answer(process) == 0
        assert locks.take("a") == process.pid
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert locks.take("a") == 0
    with holder(tmp_path / "locks") as process:
        assert answer(process) == os.getpid()


@pytest.mark.root
def test_holders_in_other_namespaces(tmp_path: Path) -> None:
    locks = KeyLocks(tmp_path / "locks")
    with holder(tmp_path / "locks", "unshare", "--user", "--map-root-user", "--mount", "--ipc") as process:
        assert answer(process) == 0
        assert locks.take("a") == process.pid


def test_a_forked_child_is_another_holder(tmp_path: Path) -> None:
    locks = KeyLocks(tmp_path / "locks")
    assert locks.take("a") == 0
    if not (child := os.fork()):
        os._exit(locks.take("a") == os.getppid())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert KeyLocks(tmp_path / "locks").take("a") == os.getpid()


def test_where_no_file_can_be_everybody_gets_everything(tmp_path: Path) -> None:
    one, other = KeyLocks(tmp_path / "none/locks"), KeyLocks(tmp_path / "none/locks")
    assert one.take("a") == 0 == other.take("a")
    one.change("a")
    assert one.mark("a") == b""
    one.free("a")

"""The log keeps every byte, by line and stream."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.containers import journal
from builder.containers.journal import Range, Writer, follow, read


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(min_size=1, max_size=50)), max_size=20))
def test_every_byte_of_each_stream_comes_back(tmp_path_factory: object, pieces: list[tuple[int, bytes]]) -> None:
    path = Path(tmp_path_factory.mktemp("log")) / "log"  # type: ignore[attr-defined]
    writer = Writer(path)
    for stream, data in pieces:
        writer(stream, data)
    writer.close()
    records = read(path)
    for number, name in ((1, "stdout"), (2, "stderr")):
        wrote = b"".join(data for stream, data in pieces if stream == number)
        assert b"".join(record.data for record in records if record.stream == name) == wrote
    assert list(follow(path, lambda: False)) == records
    assert read(path, Range(tail=2)) == records[-2:]


def test_a_flood_without_newlines_is_cut_not_kept(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "log")
    for _ in range(40):
        writer(1, b"x" * 1000)
    assert sum(map(len, writer.pending.values())) <= 17_000
    writer.close()
    assert sum(len(record.data) for record in read(tmp_path / "log")) == 40_000


def test_a_bound_log_keeps_the_youngest_files(tmp_path: Path) -> None:
    path = tmp_path / "log"
    writer = Writer(path, most=2000, files=3)
    for number in range(200):
        writer(1, b"%d\n" % number)
        if number == 100:  # another start goes on
            writer.close()
            writer = Writer(path, most=2000, files=3)
    writer.close()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["log", "log.1", "log.2"]
    assert all(one.stat().st_size < 2200 for one in tmp_path.iterdir())
    numbers = [int(record.data) for record in read(path)]
    assert numbers == [*range(numbers[0], 200)]
    assert 40 <= len(numbers) < 110
    assert [int(record.data) for record in read(path, Range(tail=40))] == [*range(160, 200)]


def test_a_bound_log_of_one_file(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "log", most=1000)
    for number in range(100):
        writer(1, b"%d\n" % number)
    writer.close()
    assert [one.name for one in tmp_path.iterdir()] == ["log"]
    assert (tmp_path / "log").stat().st_size < 1100


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=12))
def test_who_follows_misses_nothing_of_a_log_that_turns(tmp_path_factory: object, bursts: list[int]) -> None:
    path = Path(tmp_path_factory.mktemp("log")) / "log"  # type: ignore[attr-defined]
    writer, waiting, number = Writer(path, most=1500, files=50), list(bursts), 0

    def alive() -> bool:
        nonlocal number
        if not waiting:
            return False
        for _ in range(waiting.pop()):
            writer(1, b"%d\n" % number)
            number += 1
        return True

    path.touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "LOOK", 0)
        assert [int(record.data) for record in follow(path, alive)] == [*range(number)]
    writer.close()


def test_what_there_is_no_room_for_is_lost_whole_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Writer(tmp_path / "log")
    write, room = os.write, [100, 0, 20]

    def little(descriptor: int, data: bytes) -> int:
        if descriptor != writer.fd or not room:
            return write(descriptor, data)
        if not (size := room.pop(0)):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:size])

    monkeypatch.setattr("os.write", little)
    for line in (b"one\n", b"two\n", b"three\n", b"four\n", b"five\n"):
        writer(1, line)
    writer.close()
    kept = read(tmp_path / "log")
    assert [record.data for record in kept if record.stream == "stdout"] == [b"one\n", b"four\n", b"five\n"]
    (told,) = [record.data for record in kept if record.stream == "stderr"]
    assert told.startswith(b"pybuild: ") and told.endswith(
        b" bytes of this log were lost, for there was no room for them\n"
    )

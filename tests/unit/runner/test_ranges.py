"""Numbers that one container has to itself, as long as somebody holds them."""

import os
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from runner import ranges
from runner.ids import APART, COUNT, FIRST, MOST, Ids, Range


@pytest.fixture(autouse=True)
def _own_book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "BOOK", tmp_path / "book")
    monkeypatch.setattr(ranges, "nested", lambda: False)


def drawn(held: ExitStack) -> int:
    """The first number of a range that is held now."""
    ids = ranges.private(Ids.usual(), held, pytest.fail)
    assert ids is not None and ids.lenient and ids.is_auto
    return ids.uids[0].outside


def test_each_is_somebodys_until_it_is_given_back_however_that_happens() -> None:
    with ExitStack() as mine:
        assert [drawn(mine) for _ in range(3)] == [APART, APART + COUNT, APART + 2 * COUNT]
        told, tell = os.pipe()
        child = os.fork()
        if child == 0:
            drawn(ExitStack())
            os.write(tell, b"1")
            signal.pause()
        os.read(told, 1)
        assert drawn(mine) == APART + 4 * COUNT
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert drawn(mine) == APART + 3 * COUNT
        os.close(told)
        os.close(tell)
    assert drawn(ExitStack()) == APART


def test_a_child_of_who_holds_one_goes_on_holding_it() -> None:
    held = ExitStack()
    drawn(held)
    ready, go = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(go)
        os.read(ready, 1)
        os._exit(0)
    held.close()
    with ExitStack() as mine:
        assert drawn(mine) == APART + COUNT
        os.close(go)
        os.waitpid(child, 0)
        assert drawn(mine) == APART
    os.close(ready)


def test_every_number_is_one_persons(monkeypatch: pytest.MonkeyPatch) -> None:
    last = ranges.apart((MOST - APART) // COUNT - 1, lenient=False)
    assert last.uids[0].outside + COUNT <= MOST
    ids = [Ids.auto(), ranges.apart(0, lenient=False), ranges.apart(1, lenient=False), last]
    assert len({one.outside(0, 0) for one in ids}) == len(ids)
    assert {one.outside(COUNT, 3_000_000_000) for one in ids} == {ids[0].outside(COUNT, 3_000_000_000)}
    assert all(one.inside(*one.outside(33, COUNT)) == (33, COUNT) for one in ids)


def test_what_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Ids((Range(0, 500000, 9),), (Range(0, 500000, 9),))
    for ids in (None, Ids.same(), own):
        assert ranges.private(ids, ExitStack(), pytest.fail) is ids
    monkeypatch.setattr(ranges, "nested", lambda: True)
    assert ranges.private(Ids.usual(), ExitStack(), pytest.fail) == Ids.usual()


def test_what_is_shared_for_want_of_a_range_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "RANGES", 2)
    told: list[str] = []
    with ExitStack() as held:
        drawn(held), drawn(held)
        assert ranges.private(Ids.usual(), held, told.append) == Ids.usual()
    drawn(ExitStack())
    monkeypatch.setattr(ranges, "BOOK", tmp_path / "nowhere/book")
    assert ranges.private(Ids.auto(), ExitStack(), told.append) == Ids.auto()
    assert "all 2 ranges of 65536" in told[0] and "nowhere/book cannot be opened (No such file" in told[1]
    assert all(f"on the host ({FIRST} and on)" in one and "--uidmap 0:HOST:65536" in one for one in told)

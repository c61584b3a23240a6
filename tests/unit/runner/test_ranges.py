"""Numbers that one container has to itself, as long as somebody holds them."""

import os
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from runner import ranges
from runner.ids import APART, COUNT, MOST, Ids, Range


@pytest.fixture(autouse=True)
def _own_book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "BOOK", tmp_path / "book")
    monkeypatch.setattr(ranges, "nested", lambda: False)


def drawn(held: ExitStack) -> int:
    """The first number of a range that is held now."""
    ids = ranges.private(Ids.usual(), held)
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
        assert ranges.private(ids, ExitStack()) is ids
    monkeypatch.setattr(ranges, "BOOK", tmp_path / "nowhere/book")
    assert ranges.private(Ids.auto(), ExitStack()) == Ids.auto()
    monkeypatch.setattr(ranges, "nested", lambda: True)
    assert ranges.private(Ids.usual(), ExitStack()) == Ids.usual()

"""Who wants what another makes waits for it: a thread, another process (two objects on one file are two holders)."""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from layers.home.turns import Turns


@pytest.fixture(params=["one process", "two"])
def two(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Turns, Turns]:
    first = Turns(tmp_path / "turns")
    return first, first if request.param == "one process" else Turns(tmp_path / "turns")


def at_once(_: int) -> None:
    raise AssertionError("nobody is to be waited for")


class Waiter:
    """Somebody who wants the turn "a"; he waits for it when this is there."""

    def __init__(self, turns: Turns, *, anew: bool = False, then: Callable[[], object] = lambda: None) -> None:
        self.had: list[bool] = []
        asked = threading.Event()

        def work() -> None:
            with turns.take("a", lambda _: asked.set(), anew=anew) as waited:
                self.had.append(waited)
                then()

        pool = ThreadPoolExecutor(1)
        self._work = pool.submit(work)
        pool.shutdown(wait=False)
        assert asked.wait(10)

    def end(self) -> None:
        """Let him have had it."""
        self._work.result(60)
        assert self.had == [True]


def test_one_after_another_and_others_beside(two: tuple[Turns, Turns]) -> None:
    with two[0].take("a", at_once) as waited:
        assert not waited
        with two[1].take("b", at_once) as waited:
            assert not waited
        waiter = Waiter(two[1])
        assert not waiter.had
    waiter.end()
    with two[0].take("a", at_once) as waited:
        assert not waited


def test_who_waits_may_give_up_and_who_fails_lets_go(two: tuple[Turns, Turns]) -> None:
    def give_up(_: int) -> None:
        raise KeyError

    with pytest.raises(ValueError), two[0].take("a", at_once):
        with pytest.raises(KeyError), two[1].take("a", give_up):
            raise AssertionError
        raise ValueError
    with two[1].take("a", at_once) as waited:
        assert not waited


def test_those_who_waited_for_who_failed_do_not_wait_for_each_other(two: tuple[Turns, Turns]) -> None:
    together = threading.Barrier(3)

    with pytest.raises(ValueError), two[0].take("a", lambda _: None):
        waiters = [Waiter(one, then=lambda: together.wait(60)) for one in (*two, two[1])]  # all of them inside
        raise ValueError
    for waiter in waiters:
        waiter.end()
    with two[0].take("a", at_once), two[1].take("b", at_once):
        pass


def test_those_who_waited_for_who_gave_up_come_one_by_one(two: tuple[Turns, Turns]) -> None:
    inside, most = 0, 0

    def count() -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0.02)
        inside -= 1

    def stopped(_: int) -> None:
        raise KeyError

    with pytest.raises(ValueError), two[0].take("a", stopped):
        waiters = [Waiter(one, then=count) for one in (*two, two[1])]
        raise ValueError
    for waiter in waiters:
        waiter.end()
    assert most == 1


def test_what_is_made_anew_is_worth_waiting_for_and_waits_for_its_like_only(two: tuple[Turns, Turns]) -> None:
    with two[0].take("a", at_once), two[1].take("a", at_once, anew=True) as waited:
        assert not waited
        waiter = Waiter(two[0], anew=True)
    waiter.end()
    with two[0].take("a", at_once, anew=True):
        waiter = Waiter(two[1])
    waiter.end()


def test_who_waits_learns_for_whom(tmp_path: Path) -> None:
    one, other = Turns(tmp_path / "turns"), Turns(tmp_path / "turns")
    told: list[int] = []

    def learn(process: int) -> None:
        told.append(process)
        raise KeyError

    with one.take("a", at_once):
        for turns in (one, other):
            with pytest.raises(KeyError), turns.take("a", learn):
                pass
    assert told == [0, os.getpid()]


def test_where_no_file_can_be_each_process_is_for_itself(tmp_path: Path) -> None:
    one, other = Turns(tmp_path / "missing/turns"), Turns(tmp_path / "missing/turns")
    with pytest.raises(ValueError), one.take("a", lambda _: None), other.take("a", at_once):
        waiter = Waiter(one)
        raise ValueError
    waiter.end()

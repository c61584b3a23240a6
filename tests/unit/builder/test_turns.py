"""Who wants what another makes waits for it."""

import threading

import pytest

from builder.executing.turns import Turns


def test_one_after_another_and_others_beside() -> None:
    turns, told, inside = Turns(), [], threading.Event()

    def second() -> None:
        with turns.take("a", inside.set) as waited:
            told.append(waited)

    with turns.take("a", lambda: None) as waited:
        assert not waited
        with turns.take("b", lambda: None) as waited:
            assert not waited
        thread = threading.Thread(target=second)
        thread.start()
        assert inside.wait(10)
        assert told == []
    thread.join()
    assert told == [True]
    with turns.take("a", lambda: None) as waited:
        assert not waited


def test_who_waits_may_give_up_and_who_fails_lets_go() -> None:
    turns = Turns()

    def give_up() -> None:
        raise KeyError

    with pytest.raises(ValueError), turns.take("a", lambda: None):
        with pytest.raises(KeyError), turns.take("a", give_up):
            raise AssertionError
        raise ValueError
    with turns.take("a", give_up) as waited:
        assert not waited

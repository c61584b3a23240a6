"""Threads that do steps."""

import threading

from builder.executing.threads import Threads
from builder.graph import Mkdir, Step
from layers import Platform


def step(number: int) -> Step:
    """Any step."""
    return Step(number, Mkdir("/a", ""), None, "", "", 1, Platform.host())


def test_there_are_no_more_than_are_wanted_and_each_step_comes_back_with_its_error() -> None:
    met: set[str] = set()
    both = threading.Barrier(2)

    def do(one: Step) -> None:
        met.add(threading.current_thread().name)
        both.wait(30)  # two at a time, or it ends in an error
        if one.id % 2:
            raise ValueError(one.id)

    threads = Threads(do, 2)
    for number in range(6):
        threads.begin(step(number))
    found: dict[int, str] = {}
    while threads.running:
        found |= {one.id: repr(error) for one, error in threads.ended(30)}
    threads.close()
    assert found == {number: f"ValueError({number})" if number % 2 else "None" for number in range(6)}
    assert len(met) == 2


def test_nothing_has_ended_where_nothing_was_begun() -> None:
    threads = Threads(lambda step: None, 4)
    assert list(threads.ended(0)) == []
    threads.close()


def test_what_was_begun_is_done_before_it_is_closed() -> None:
    done: list[int] = []
    threads = Threads(lambda step: done.append(step.id), 1)
    for number in range(3):
        threads.begin(step(number))
    threads.close()
    assert done == [0, 1, 2]

"""Work side by side: in order, bounded, and over at the first failure."""

import threading
import time

import pytest

from layers.moving.crew import side_by_side
from tests.support.soon import soon


def run(work: object, items: list[int], jobs: int = 3, over: threading.Event | None = None) -> list[object]:
    return side_by_side(work, items, jobs=jobs, over=over or threading.Event(), name="test")  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
def test_results_keep_their_order(count: int) -> None:
    assert run(lambda item: item * item, list(range(count))) == [item * item for item in range(count)]


def test_no_more_than_jobs_at_once() -> None:
    turn, now, most = threading.Lock(), [0], [0]

    def work(item: int) -> None:
        with turn:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.005)
        with turn:
            now[0] -= 1

    run(work, list(range(30)), jobs=4)
    assert most[0] == 4


def test_the_first_failure_ends_it_and_nothing_new_is_begun() -> None:
    begun: list[int] = []
    over = threading.Event()

    def work(item: int) -> None:
        begun.append(item)
        if item == 1:
            raise ValueError("item 1")
        assert over.wait(20), "the others learn that it is over"

    with pytest.raises(ValueError, match="item 1"):
        run(work, list(range(100)), over=over)
    assert len(begun) <= 4


def test_what_hangs_does_not_hold_up_the_error() -> None:
    hang = threading.Event()

    def work(item: int) -> None:
        if item == 1:
            raise ValueError("item 1")
        hang.wait(60)

    began = time.monotonic()
    with pytest.raises(ValueError, match="item 1"):
        run(work, [0, 1, 2])
    assert time.monotonic() - began < 20
    hang.set()
    assert soon(lambda: not any(thread.name.startswith("test-") for thread in threading.enumerate()))


def test_a_single_item_is_done_by_the_caller() -> None:
    assert run(lambda item: threading.current_thread(), [1]) == [threading.current_thread()]

"""A few threads that do one kind of work on many things; the first failure, or a Ctrl-C, ends all of it at once.

The threads are daemons: one that hangs in a read of the network holds up neither the error nor the end of the process.
What is under way learns from `over` that nobody wants it any more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from layers.tar.pipeline import Stopped

Item = TypeVar("Item")
Made = TypeVar("Made")

GRACE = 0.5
"""Seconds that threads get to notice that all is over."""
LOOK_SECONDS = 0.1
"""How often `stop` is looked at, and Python at signals: one that comes just before a wait without end is not seen."""


def side_by_side(
    work: Callable[[Item], Made],
    items: Sequence[Item],
    *,
    jobs: int,
    over: threading.Event,
    name: str,
    stop: threading.Event | None = None,
) -> list[Made]:
    """What `work` makes of each item, in their order, `jobs` at the same time; a single item is done by the caller.

    Raises the first failure, or Stopped when others set `stop`; `over` is set then, nothing new is begun, and what is
    under way should look at `over`.
    """
    if len(items) <= 1 or jobs == 1:
        return [work(item) for item in items]
    made: dict[int, Made] = {}
    failures: list[BaseException] = []
    todo = iter(range(len(items)))
    turn = threading.Condition()
    running = min(jobs, len(items))

    def run() -> None:
        nonlocal running
        try:
            while not over.is_set():
                with turn:
                    number = next(todo, None)
                if number is None:
                    return
                result = work(items[number])
                with turn:
                    made[number] = result
        except BaseException as failure:  # raised in the thread that waits
            over.set()
            with turn:
                failures.append(failure)
        finally:
            with turn:
                running -= 1
                turn.notify_all()

    crew = [threading.Thread(target=run, name=f"{name}-{number}", daemon=True) for number in range(running)]
    try:
        for thread in crew:
            thread.start()
        with turn:
            while running and not failures:
                turn.wait(LOOK_SECONDS)
                if stop is not None and stop.is_set():
                    raise Stopped
    except BaseException:
        over.set()
        raise
    finally:
        deadline = time.monotonic() + GRACE
        for thread in crew:
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()) if over.is_set() else None)
    if failures:
        raise failures[0]
    return [made[number] for number in range(len(items))]

"""One thread that waits for many things."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from builder.containers.container import now
from builder.containers.loop import WRITE, Loop


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


def test_what_is_ready_is_done_until_it_is_forgotten(loop: Loop) -> None:
    reader, writer = os.pipe()
    said: list[str] = []
    loop.watch(reader, lambda: said.append("older"))
    loop.watch(reader, lambda: said.append(os.read(reader, 1).decode()))

    def write() -> None:
        loop.forget(writer)
        os.write(writer, b"ab")

    loop.watch(writer, write, WRITE)
    loop.run(lambda: len(said) == 2)
    assert said == ["a", "b"]
    loop.forget(reader)
    loop.forget(reader)
    os.write(writer, b"c")
    loop.run(lambda: False, seconds=0.01)
    os.close(reader)
    os.close(writer)
    assert said == ["a", "b"]


def test_an_action_can_take_the_next_one_away(loop: Loop) -> None:
    pipes = [os.pipe(), os.pipe()]
    done: list[int] = []

    def act(mine: int, other: int) -> None:
        done.append(mine)
        loop.forget(other)

    (one, _), (two, _) = pipes
    loop.watch(one, lambda: act(one, two))
    loop.watch(two, lambda: act(two, one))
    for _, writer in pipes:
        os.write(writer, b"x")
    loop.run(lambda: bool(done))
    loop.run(lambda: False, seconds=0.01)
    assert len({*done}) == 1
    for pipe in pipes:
        for descriptor in pipe:
            os.close(descriptor)  # closed while it is watched
    loop.forget(done[0])


def test_timers_in_their_order_and_not_those_that_were_cancelled(loop: Loop) -> None:
    done: list[int] = []
    loop.later(0.002, lambda: done.append(2))
    loop.later(0.001, lambda: done.append(1))
    loop.later(0, lambda: done.append(0)).cancel()
    loop.later(0.003, loop.wake)
    loop.run(lambda: len(done) == 2)
    assert done == [1, 2]


def test_the_time_is_written_as_the_library_writes_it() -> None:
    before = datetime.now(UTC)
    text = now()
    assert text.endswith("Z") and len(text) == len("2026-01-31T12:00:00.123456Z")
    assert timedelta(microseconds=-1) <= datetime.fromisoformat(text) - before < timedelta(minutes=1)

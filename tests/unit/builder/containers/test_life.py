"""Restart policies, health checks, detach keys, the loop: as values, without a process."""

import os
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.containers import keys
from builder.containers.health import KEPT, SECOND, Health, Healthcheck, Probe
from builder.containers.loop import WRITE, Loop
from builder.containers.restart import LONGEST, SHORTEST, RestartPolicy, pause


@pytest.mark.parametrize("text", ["no", "on-failure", "on-failure:3", "always", "unless-stopped"])
def test_policies_are_read_and_written(text: str) -> None:
    assert str(RestartPolicy.parse(text)) == text


@pytest.mark.parametrize("text", ["never", "always:2", "on-failure:x", "on-failure:-1", "on-failure:"])
def test_other_policies_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="policy"):
        RestartPolicy.parse(text)


def test_what_policies_want() -> None:
    assert not RestartPolicy().wants(1, 0)
    assert RestartPolicy("always").wants(0, 100)
    failure = RestartPolicy("on-failure", 2)
    assert [failure.wants(code, count) for code, count in ((0, 0), (1, 0), (1, 1), (1, 2))] == [
        False,
        True,
        True,
        False,
    ]
    assert RestartPolicy("on-failure").wants(1, 1000)


def test_pauses_double_up_to_a_minute_and_begin_anew_after_a_good_run() -> None:
    waits = [pause(0, 0)]
    for _ in range(12):
        waits.append(pause(waits[-1], 1))
    assert waits[:4] == [SHORTEST, 0.2, 0.4, 0.8]
    assert waits[-1] == LONGEST
    assert pause(LONGEST, 10) == SHORTEST


def test_health_goes_down_and_up() -> None:
    check = Healthcheck(test=("CMD", "x"), retries=2, start_period=5 * SECOND)
    bad, good = Probe("", "", 1, "no"), Probe("", "", 0, "yes")
    health = Health()
    for _ in range(3):  # within the start period
        health = health.after(bad, check, 1)
    assert (health.status, health.streak) == ("starting", 0)
    health = health.after(bad, check, 6)
    assert (health.status, health.streak) == ("starting", 1)
    health = health.after(bad, check, 7)
    assert (health.status, health.streak) == ("unhealthy", 2)
    health = health.after(good, check, 8)
    assert (health.status, health.streak, len(health.log)) == ("healthy", 0, KEPT)
    health = health.after(bad, check, 1)  # once it was well, the start period does not matter
    assert (health.status, health.streak) == ("healthy", 1)
    assert health.json()["Log"][-1] == {"Start": "", "End": "", "ExitCode": 1, "Output": "no"}


def test_when_probes_come() -> None:
    check = Healthcheck(test=("CMD", "x"), interval=20 * SECOND, start_period=60 * SECOND, start_interval=2 * SECOND)
    assert check.gap(Health(), 0) == 2
    assert check.gap(Health("healthy"), 0) == 20
    assert check.gap(Health(), 50) == 10
    assert check.gap(Health(), 61) == 20
    assert Healthcheck().gap(Health(), 0) == 30


def test_a_check_is_laid_over_the_images() -> None:
    image = Healthcheck.of({"Test": ["CMD-SHELL", "a b"], "Interval": SECOND, "Retries": 7})
    assert image is not None
    assert image.words(("/bin/sh", "-c")) == ("/bin/sh", "-c", "a b")
    assert Healthcheck(retries=2).over(image).json() == {"Test": ["CMD-SHELL", "a b"], "Interval": SECOND, "Retries": 2}
    assert Healthcheck(test=("NONE",)).words(("sh",)) == ()
    assert Healthcheck.of(None) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ctrl-p,ctrl-q", b"\x10\x11"),
        ("a,B", b"aB"),
        ("ctrl-@,ctrl-_", b"\x00\x1f"),
        ("DEL", b"\x7f"),
        ("ctrl-A", b"\x01"),
    ],
)
def test_keys_are_read(text: str, found: bytes) -> None:
    assert keys.parse(text) == found


@given(st.lists(st.binary(max_size=4)), st.sampled_from([b"aa", b"ab", b"aab", b"a"]))
def test_keys_hold_nothing_back_for_good_and_find_the_first(pieces: list[bytes], sequence: bytes) -> None:
    typed = b"".join(piece.translate(bytes(97 + number % 2 for number in range(256))) for piece in pieces)
    watcher, out, left = keys.Keys(sequence), b"", False
    for number in typed:
        some, left = watcher.pass_on(bytes([number]))
        out += some
        if left:
            break
    place = typed.find(sequence)
    assert left == (place >= 0) == watcher.complete
    assert out == typed[:place] if left else out + watcher.held == typed


def test_the_loop_serves_descriptors_timers_and_bells() -> None:
    loop, told = Loop(), list[bytes]()
    reader, writer = os.pipe()

    def write() -> None:
        os.write(writer, b"x")
        loop.forget(writer)

    loop.watch(reader, lambda: told.append(os.read(reader, 9)))
    loop.watch(writer, write, WRITE)
    loop.later(0.01, lambda: told.append(b"late"))
    loop.later(0, lambda: told.append(b"never")).cancel()
    loop.run(lambda: len(told) == 2)
    assert told == [b"x", b"late"]
    began = time.monotonic()
    loop.run(lambda: False, seconds=0.02)
    assert time.monotonic() - began >= 0.02
    threading.Timer(0.01, loop.wake).start()
    asked: list[float] = []

    def again() -> bool:
        asked.append(time.monotonic())
        return len(asked) == 2

    loop.run(again, seconds=30)
    assert asked[1] - asked[0] < 30
    loop.close()
    os.close(reader)
    os.close(writer)

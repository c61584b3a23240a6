"""The front half on inputs nobody would write: a few seconds of `python -m tests.fuzz`, the same ones every time."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.front import feed
from tests.fuzz.mutate import Mutator

MOST = 4.0
"""Seconds that are spent at most; how far they reach is the machine's business."""


@pytest.mark.parametrize("seed", [1, 2])
def test_mutations_break_nothing(seed: int) -> None:
    inputs, end = Mutator(seed), time.monotonic() + MOST
    for _ in range(150):
        feed(inputs.next())
        if time.monotonic() > end:
            break


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_break_nothing(data: bytes) -> None:
    feed(data)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from([b"FROM ", b"ENV ", b"RUN ", b"${", b"}", b"\n", b"\\", b"a", b"=", b'"', b"<<E", b"$"]))
)
def test_any_words_break_nothing(words: list[bytes]) -> None:
    feed(b"FROM scratch\n" + b"".join(words))

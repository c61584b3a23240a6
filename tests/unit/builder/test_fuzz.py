"""The front half on inputs nobody would write: a few seconds of `python -m tests.fuzz`, the same ones every time."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.front import feed
from tests.fuzz.mutate import Mutator

MOST = 3.0
"""Seconds that are spent at most; how far they reach is the machine's business."""


@pytest.mark.parametrize("seed", [1, 2])
def test_mutations_break_nothing(seed: int) -> None:
    inputs, end = Mutator(seed), time.monotonic() + MOST
    for _ in range(150):
        feed(inputs.next())
        if time.monotonic() > end:
            break


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_break_nothing(data: bytes) -> None:
    feed(data)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.sampled_from([b"FROM ", b"ENV ", b"RUN ", b"${", b"}", b"\n", b"\\", b"a", b"=", b'"', b"<<E", b"$"]))
)
def test_any_words_break_nothing(words: list[bytes]) -> None:
    feed(b"FROM scratch\n" + b"".join(words))


@pytest.mark.parametrize(
    "data",
    [
        b"FROM scratch\nCOPY" + b" l" * 20_000 + b" /x/\n",  # was read with a cost of the square
        b"FROM scratch\nENV" + b" a=b" * 4_000 + b"\n",
        b"FROM scratch\nLABEL" + b" l=$X" * 3_000 + b"\n",  # was told with a cost of the square
        b"FROM scratch\nRUN " + b"(" * 20_000 + b"\n",
        b"FROM scratch\nRUN " + b"$(" * 20_000 + b"\n",
        b"FROM scratch\nENV A=" + b"${a:-" * 5_000 + b"}" * 5_000 + b"\n",
        b"FROM scratch\nENV A=" + b"${a:-" * 90 + b"}" * 90 + b"\n",
        b"FROM scratch\nRUN " + b"[" * 5_000 + b"]" * 5_000 + b"\n",
        b"FROM scratch\nCOPY " + b'["a",' * 5_000 + b"]" * 5_000 + b"\n",
        b"FROM scratch\n" + b"X" * 60_000 + b"\n",
        b"FROM scratch\n" + b"Rt\n" * 20_000,  # was guessed at twenty thousand times, and told as often
        b"FROM scratch\n" + b"ENV A=1\nARG C=1 D=$C E\n" * 1_000,  # each ARG looked at every ENV above it
        b"".join(b"FROM scratch AS s%d\n" % number for number in range(500)),
    ],
    ids=[
        "words",
        "pairs",
        "findings",
        "parentheses",
        "substitutions",
        "nested",
        "deep",
        "arrays",
        "strings",
        "unknown",
        "errors",
        "many",
        "stages",
    ],
)
def test_size_alone_hangs_nothing(data: bytes) -> None:
    feed(data)

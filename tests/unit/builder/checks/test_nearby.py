"""Which name was meant: the same as if all were compared, with little comparing."""

import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.checks.nearby import SLIPS, Nearby
from builder.dockerfile.suggest import distance

NAMES = st.lists(st.text("aB_1", max_size=9), unique=True, max_size=30)


def plainly(word: str, known: Iterable[str]) -> str:
    """The first of the nearest, after a look at each."""
    found, least = "", SLIPS + 1
    for name in known:
        if (away := distance(word, name, least - 1, swaps=False)) < least:
            found, least = name, away
    return found


@given(NAMES, st.lists(st.text("aB_1", min_size=1, max_size=9), max_size=10))
def test_the_same_name_is_found_as_by_comparing_all(known: list[str], words: list[str]) -> None:
    some = Nearby()
    for word in words:
        assert some.nearest(word, known) == plainly(word, known)


@given(NAMES, st.text("aB_1", min_size=1, max_size=9))
def test_names_may_be_added(known: list[str], word: str) -> None:
    some = Nearby()
    for count in range(len(known) + 1):
        assert some.nearest(word, known[:count]) == plainly(word, known[:count])


@given(st.text(min_size=1, max_size=40), st.lists(st.tuples(st.integers(0, 39), st.integers(0, 2)), max_size=2))
def test_two_slips_are_always_found(name: str, slips: list[tuple[int, int]]) -> None:
    word = name
    for at, kind in slips:
        word = word[:at] + ("", "?", "?")[kind] + word[at + (kind < 2) :]
    assert Nearby().nearest(word, [name]) == name


LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ_"
NUMBERED = [f"VARIABLE_{number}" for number in range(900)]
LONG = [f"THE_SETTING_OF_AN_APPLICATION_{number:05}" for number in range(300)]
OTHERS = ["".join(random.Random(at).choices(LETTERS, k=4 + at % 17)) for at in range(1_000)]


@pytest.mark.parametrize("known", [NUMBERED, LONG, OTHERS], ids=["numbered", "long", "others"])
def test_among_many(known: list[str]) -> None:
    """Words that mean a name or nearly, and some that mean none."""
    dice = random.Random(7)
    words = ["".join(dice.choices(LETTERS, k=14)) for _ in range(5)]
    for slips in (1, 2, 2, 3, 3, 4):
        for name in dice.sample(known, 5):
            word = name
            for _ in range(slips):
                at, kind = dice.randrange(len(word)), dice.randrange(3)
                word = word[:at] + ("", "x", "7")[kind] + word[at + (kind < 2) :]
            words.append(word)
    some = Nearby()
    found = [some.nearest(word, known) for word in words]
    assert found == [plainly(word, known) for word in words]
    assert all(found[5:20]) and not any(found[:5])

"""Maps inside a map: who has which number where, whatever the numbers are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import remap
from runner.errors import SandboxUnavailable
from runner.ids import MOST, Range, Ranges, across, through, turned

USER = st.integers(1, 200)
"""Of the host, where subordinate ids begin later."""


@st.composite
def ours(draw: st.DrawFn) -> Ranges:
    """The map of the usual namespace: the user, then some ranges of the host."""
    found = [Range(0, draw(USER), 1)]
    at, outside = 1, 300
    for _ in range(draw(st.integers(1, 3))):
        size = draw(st.integers(1, 40))
        outside += draw(st.integers(0, 50))
        found.append(Range(at, outside, size))
        at, outside = at + size, outside + size
    return tuple(found)


def table(ranges: Ranges) -> dict[int, int]:
    """Each number inside with that outside; none may be there twice."""
    pairs = [(one.inside + at, one.outside + at) for one in ranges for at in range(one.size)]
    assert len({inside for inside, _ in pairs}) == len({outside for _, outside in pairs}) == len(pairs)
    return dict(pairs)


@given(ours())
def test_who_keeps_their_number_has_it_and_everybody_else_is_subordinate(ours: Ranges) -> None:
    user = ours[0].outside
    found = table(remap._keeping(ours, user))
    assert found[user] == user
    assert sorted(found.values()) == sorted(table(ours).values())
    others = len(found) - 1
    assert sorted(set(found) - {user}) == [at for at in range(others + (user <= others)) if at != user]


@given(ours(), st.data())
def test_what_a_map_leaves_out_lies_beyond_it(ours: Ranges, data: st.DataObject) -> None:
    part = data.draw(st.sampled_from(ours[1:]))
    first = data.draw(st.integers(0, part.size - 1))
    asked = (Range(0, part.outside + first, data.draw(st.integers(1, part.size - first))),)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remap, "_map", lambda _: ours)
        whole = remap._whole("uid", asked)
        user = remap._beside(whole, asked, ours[0].outside)
    assert all(any(0 <= one.outside - line.inside <= line.size - one.size for line in ours) for one in whole)
    found = table(whole)
    assert sorted(found.values()) == list(range(len(table(ours))))
    hosts = table(ours)
    assert {inside: hosts[found[inside]] for inside in range(asked[0].size)} == table(asked)
    assert found[user] == 0


@given(ours(), ours())
def test_one_map_after_another(first: Ranges, second: Ranges) -> None:
    back = turned(first)
    assert table(through(first, back)) == {number: number for number in table(first)}
    if missing := [one for one in table(first).values() if across(second, one) is None]:
        with pytest.raises(KeyError) as caught:
            through(first, second)
        assert caught.value.args[0] in missing


def test_numbers_of_others_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remap, "_map", lambda _: (Range(0, 1000, 1), Range(1, 100000, 65536)))
    with pytest.raises(SandboxUnavailable, match=r"number 165536 of the host is not yours.*1000, 100000 to 165535"):
        remap._ours("uid", (Range(0, 165535, 2),))
    with pytest.raises(SandboxUnavailable, match="map smaller numbers"):
        remap._whole("uid", (Range(0, 100000, 1), Range(MOST - 1, 100001, 1)))

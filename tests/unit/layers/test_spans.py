"""How the layers of a chain are put together into directories."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers import Chain, Digest
from layers.snapshot.spans import FLATTEN, MOST_LAYERS, RADIX, Span, indexed, unpacked

depths = st.integers(1, 5000)


@given(depths)
def test_directories_hold_every_layer_once_and_can_be_stacked(depth: int) -> None:
    for plan in (indexed(depth), unpacked(depth)):
        assert [layer for span in plan for layer in range(*span)] == list(range(depth))
        assert len(plan) <= MOST_LAYERS
        assert plan[-1] == Span(depth - 1, depth)
    assert len(indexed(depth)) <= 4 * (RADIX - 1) + 1


@given(depths)
def test_one_more_layer_needs_few_new_directories(depth: int) -> None:
    fresh = set(indexed(depth + 1)) - set(indexed(depth))
    assert len(fresh) <= 2
    assert all(span.top - span.bottom == 1 or depth % RADIX == 0 for span in fresh)


def test_growing_layer_by_layer_indexes_each_once_for_every_digit() -> None:
    made = {span for depth in range(1, 601) for span in indexed(depth)}
    assert sum(span.top - span.bottom for span in made) <= 3 * 600


def test_few_layers_have_directories_of_their_own() -> None:
    assert indexed(0) == unpacked(0) == []
    assert indexed(RADIX) == unpacked(RADIX)
    assert indexed(RADIX + 1) == [Span(0, RADIX), Span(RADIX, RADIX + 1)]
    assert len(unpacked(MOST_LAYERS)) == MOST_LAYERS
    assert unpacked(MOST_LAYERS + 1)[0] == Span(0, 2 * FLATTEN)


@pytest.mark.parametrize("span", [Span(0, 2), Span(0, 3), Span(1, 3), Span(2, 3)])
def test_a_name_says_which_layers_over_which_others(span: Span) -> None:
    layers = [Digest.of(name) for name in (b"a", b"b", b"c")]
    chain = Chain(tuple(layers))
    key = span.key(chain)
    assert key == span.key(chain.push(Digest.of(b"d")))
    others = [Span(0, 2), Span(0, 3), Span(1, 3), Span(2, 3), Span(0, 1)]
    assert key not in [other.key(chain) for other in others if other != span]
    assert key != span.key(Chain((Digest.of(b"x"), *layers[1:])))

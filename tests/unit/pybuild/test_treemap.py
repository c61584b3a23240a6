"""The picture of an image: every byte has its place, and no name becomes markup."""

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layers.views.waste import Piece, Waste
from pybuild.formats.treemap import DEEPEST, WHOLE, page, squares

sizes = st.lists(st.integers(1, 10**12), min_size=1, max_size=25).map(lambda found: sorted(found, reverse=True))


@settings(deadline=None)
@given(sizes, st.floats(0.01, 100), st.floats(0.01, 100))
def test_boxes_fill_a_rectangle_in_proportion(sizes: list[int], width: float, height: float) -> None:
    places = list(squares(sizes, width, height))
    assert len(places) == len(sizes)
    for size, (left, top, wide, high) in zip(sizes, places, strict=True):
        assert wide * high == pytest.approx(width * height * size / sum(sizes), rel=1e-6)
        assert min(left, top) >= 0
        assert left + wide <= width * (1 + 1e-6)
        assert top + high <= height * (1 + 1e-6)
    for number, (left, top, wide, high) in enumerate(places):
        for other_left, other_top, other_wide, other_high in places[:number]:
            across = min(left + wide, other_left + other_wide) - max(left, other_left)
            down = min(top + high, other_top + other_high) - max(top, other_top)
            assert across <= width * 1e-6 or down <= height * 1e-6, "two boxes overlap"


def test_equal_boxes_are_square() -> None:
    assert {(round(wide, 6), round(high, 6)) for *_, wide, high in squares([1] * 9, 3, 3)} == {(1, 1)}


def data(text: str) -> Any:
    return json.loads(re.findall(r'<script type="application/json" id="data">(.*)</script>', text)[0])


def test_every_byte_has_its_place() -> None:
    shown = (Piece("d/a", 0, 4000), Piece("d/b", 0, 1000), *(Piece(f"d/s/{number}", 1, 1) for number in range(50)))
    name, size, hidden, told, x, y, width, height, inner = data(
        page("app", Waste(2, shown, (Piece("d/a", 1, 500),)), ["1 COPY a", "2 COPY b"])
    )
    assert (name, size, hidden, told, x, y, width, height) == ("app", 5550, 500, "5.55kB", 0, 0, WHOLE, WHOLE)
    assert [(box[0], box[1], box[2]) for box in inner] == [("1 COPY a", 5000, 0), ("2 COPY b", 550, 500)]
    assert [(box[0], box[1]) for box in inner[0][8][0][8]] == [("a", 4000), ("b", 1000)]
    assert [box[:3] for box in inner[1][8][0][8]] == [["a", 500, 500], ["s", 50, 0]]
    assert [box[:3] for box in inner[1][8][0][8][1][8]] == [["50 small ones", 50, 0]]


def test_names_are_no_markup() -> None:
    hostile = "</script><img src=x onerror=alert(1)>&$data\n\u2028\udcff"
    text = page(hostile, Waste(1, (Piece(f"{hostile}/f", 0, 9),), ()), [hostile])
    assert "<img" not in text
    assert text.count("</script>") == 2
    found = data(text)
    assert "</script><img src=x onerror=alert(1)>" in found[0]
    assert found[0] == found[8][0][0]
    text.encode()


def test_a_deep_path_and_an_empty_image() -> None:
    deep = "/".join(["d"] * 2000)
    box = data(page("app", Waste(1, (Piece(deep, 0, 1),), ()), ["1"]))
    levels = 0
    while box[8]:
        (box,) = box[8]
        levels += 1
    assert levels == DEEPEST + 2
    assert box[0].count("/") == 2000 - DEEPEST - 1
    assert data(page("app", Waste(0, (), ()), []))[8] == []

"""Levels of annotations in buildx's words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.annotations import LEVELS, of, scoped
from layers import Platform

KEYS = st.from_regex(r"[a-z]+(\.[a-z]+){1,3}", fullmatch=True)


@given(KEYS, st.lists(st.sampled_from(LEVELS), min_size=1, unique=True), st.text(max_size=5))
def test_each_level_gets_its_own(key: str, levels: list[str], value: str) -> None:
    notes = {f"{','.join(levels)}:{key}": value}
    assert {level for level in LEVELS if of(notes, level) == {key: value}} == set(levels)
    assert of({key: value}, "manifest") == {key: value}


def test_a_platform_narrows() -> None:
    notes = {"a": "0", "manifest[linux/arm/v7]:a": "1"}
    assert of(notes, "manifest", Platform.parse("linux/arm/v7")) == {"a": "1"}
    assert of(notes, "manifest", Platform.parse("linux/386")) == {"a": "0"}
    assert of({"manifest-descriptor[arm64]:a": "1"}, "manifest-descriptor", Platform.parse("linux/arm64")) == {"a": "1"}
    assert of({"manifest[linux/arm64]:a": "1"}, "manifest", Platform.parse("linux/amd64")) == {}


@pytest.mark.parametrize("text", ["layer:a", "index[linux/amd64]:a", "manifest[a/b/c/d]:a", "manifest,:a"])
def test_what_no_annotation_is(text: str) -> None:
    with pytest.raises(ValueError, match=r"annotation|platform"):
        scoped(text)

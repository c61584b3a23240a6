"""Bake files that others wrote: whatever is in them, it ends in a value or in an error that says where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybuild.bake.compose import interpolated
from pybuild.bake.definition import Definition
from pybuild.bake.errors import BakeError
from pybuild.bake.functions import call
from pybuild.bake.hcl import parse_hcl, parse_json
from pybuild.bake.target import line, words_of

ATOMS = (
    'target "a" {\n|}\n|args = {|}|x = |1|"s"|"${|}"|[|]|for v in |: | if |(|)|upper(|a.b|a[0]|true ? |null|-|!|&&|==|'
    '%{ if true }|%{ endif }|<<E\n|\nE\n|\n|,|variable "v" { default = |v|target.a.x|name = |matrix = |...|=>|\\|é|'
    'function "f" {\n'
).split("|")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(ATOMS), max_size=14).map("".join))
def test_any_hcl(text: str) -> None:
    try:
        Definition([parse_hcl(text, "f.hcl")], {})
    except BakeError:
        pass


LEAVES = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.sampled_from(["${v}", "${upper(1)}", "$${"])
)
VALUES: Any = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner)
)
KEYS = st.sampled_from(
    ["args", "tags", "output", "inherits", "name", "matrix", "pull", "secret", "targets", "default", "params"]
)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["target", "group", "variable", "function", "v"]),
        VALUES | st.dictionaries(st.text(max_size=3), st.dictionaries(KEYS, VALUES)),
    )
)
def test_any_json(value: dict[str, Any]) -> None:
    import json

    try:
        Definition([parse_json(json.dumps(value), "f.json")], {})
    except BakeError:
        pass


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"group": {"g": {"targets": [None]}}}, "null has no text"),
        ({"group": {"g": {"targets": "a"}}}, "targets is a list"),
        ({"target": {"a": {"inherits": "b"}}}, "inherits is a list"),
        ({"target": {"a": {"inherits": [[]]}}}, "a list is no text"),
        ({"target": {"a": {"matrix": {"x": [1]}, "name": None}}}, "null has no text"),
        ({"target": {"a": {"matrix": [1]}}}, "a matrix is an object of lists"),
        ({"target": {"a": {"args": [1]}}}, "args is an object"),
        ({"target": {"a": {"secret": [1]}}}, "is not KEY=VALUE"),
        ({"target": {"a": []}}, "a target is a JSON object"),
        ({"variable": {"v": {"default": 1, "validation": {"condition": 3}}}}, "a condition is true or false"),
    ],
)
def test_wrong_values(value: dict[str, Any], message: str) -> None:
    import json

    with pytest.raises(BakeError, match=message):
        Definition([parse_json(json.dumps(value), "f.json")], {})


WORDS = st.text("abcdefgh0123 /:.,\"'", min_size=1, max_size=9)


@given(st.dictionaries(st.text("abc-", min_size=1, max_size=5), WORDS, min_size=1))
def test_words_survive_being_written(words: dict[str, str]) -> None:
    assert words_of("output", line(words)) == words


@pytest.mark.parametrize(
    ("name", "values", "found"),
    [
        ("semvercmp", ["1.2.3", "1.10.0"], -1),
        ("semvercmp", ["1.0.0", "1.0.0-rc.1"], 1),
        ("semvercmp", ["v2", "2.0.0"], 0),
        ("cidrsubnet", ["10.0.0.0/8", 8, 2], "10.2.0.0/16"),
        ("cidrhost", ["10.0.0.0/8", 5], "10.0.0.5"),
        ("range", [5, 1, -2], [5, 3]),
        ("uuidv5", ["dns", "example.org"], "aad03681-8b63-5304-89e0-8ca8f49461b5"),
        ("regex", ["(?P<a>x)", "x"], {"a": "x"}),
        ("setsymmetricdifference", [["a", "b"], ["b", "c"]], ["a", "c"]),
    ],
)
def test_functions(name: str, values: list[Any], found: Any) -> None:
    assert call(name, values) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("$A-${A}-$$A", "1-1-$A"),
        ("${B:-x${A}}", "x1"),
        ("${E-x}${E:-y}", "y"),
        ("${A:+set}${B:+set}", "set"),
    ],
)
def test_compose_variables(text: str, found: str) -> None:
    assert interpolated(text, {"A": "1", "E": ""}) == found


def test_a_compose_variable_that_must_be_there() -> None:
    with pytest.raises(ValueError, match="required variable B is missing a value: why"):
        interpolated("${B:?why}", {})


def test_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pybuild.bake.files import definition

    monkeypatch.chdir(tmp_path)
    with pytest.raises(BakeError, match="there is no bake file here"):
        definition([], {})

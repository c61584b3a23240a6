"""Our JSON beside the library's: the same values, texts and errors."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from layers import quickjson

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers() | st.none(), inner),
)


def told(work: Callable[[], object]) -> str:
    """What it gives or raises; NaN is like NaN."""
    try:
        return repr(work())
    except (ValueError, TypeError) as error:
        return f"{type(error).__name__}: {error}"


@given(VALUES)
def test_texts_and_back(value: Any) -> None:
    manners: list[dict[str, Any]] = [{}, {"ensure_ascii": False, "separators": (",", ":")}]
    for words in manners:
        text = json.dumps(value, **words)
        assert quickjson.dumps(value, **words) == text
        assert told(partial(quickjson.loads, text)) == told(partial(json.loads, text))


@example(" [1]\n")
@example("\ufeff{}")
@example('{"a": 1} x')
@example("[-Infinity, Infinity, NaN, 1e400]")
@given(st.text(alphabet='[]{}",:\\ \n.0123456789-+eENatrueflsn\u00e9\ufeff'))
def test_any_text_and_any_bytes(text: str) -> None:
    kept: dict[str, Any] = {"object_pairs_hook": list, "parse_constant": lambda name: [name]}
    texts: list[Any] = [text, *(text.encode(code) for code in ("utf-8", "utf-8-sig", "utf-16", "utf-32-le"))]
    for said in texts:
        assert told(partial(quickjson.loads, said)) == told(partial(json.loads, said))
        assert told(partial(quickjson.loads, said, **kept)) == told(partial(json.loads, said, **kept))


def test_what_is_no_json() -> None:
    circle: list[object] = []
    circle.append(circle)
    values: list[Any] = [circle, object(), {(1,): 2}, {"a": {1}}]
    for value in values:
        assert told(partial(quickjson.dumps, value)) == told(partial(json.dumps, value))
    with pytest.raises(RecursionError):
        quickjson.loads("[" * 100_000)


def test_nothing_heavy_is_loaded() -> None:
    script = "import sys; from layers import quickjson; quickjson.loads(quickjson.dumps([1])); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True)
    assert not {"json", "enum"} & set(done.stdout.split())

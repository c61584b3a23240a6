"""The tables that are kept were made from the grammars that stand beside them."""

import subprocess
import sys

import pytest

from builder.dockerfile.lalr import Parser, Unparseable
from builder.dockerfile.tables import HERE, KEPT, STARTS, compile_grammar, tables


@pytest.mark.parametrize("name", STARTS)
def test_kept_tables_are_lark_s(name: str) -> None:
    text = (HERE / f"{name}.lark").read_text("utf-8")
    made = compile_grammar(text, STARTS[name])
    kept = tables(name)
    assert kept["digest"] == made["digest"], f"{KEPT.name} is stale: python -m builder.dockerfile.tables"
    assert kept["terminals"] == made["terminals"]
    assert sorted(kept["rules"]) == sorted(made["rules"])
    assert len(kept["states"]) == len(made["states"])  # Lark numbers them anew each time


def test_parsing_imports_no_lark() -> None:
    code = "import sys; from builder.dockerfile import parse; parse(b'FROM a'); assert 'lark' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], cwd=HERE.parents[1]).returncode == 0


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("words", "a  b\tc"),
        ("array", '["a", [1, null], {"b": "c"}]'),
        ("shell", 'a \'b c\' "d\\" e" f\\ g'),
        ("pairs", "a=b c='d e'"),
    ],
)
def test_the_loop_agrees_with_lark(form: str, text: str) -> None:
    """Lark's own parser, on the same grammar, sees the same tokens."""
    from lark import Lark
    from lark import Token as LarkToken

    grammar = (HERE / "grammar.lark").read_text("utf-8").replace("¬", "\\\\")
    lark = Lark(grammar, parser="lalr", start=form, maybe_placeholders=False)
    expected = [
        (str(token.type), str(token)) for token in lark.parse(text).scan_values(lambda v: isinstance(v, LarkToken))
    ]
    found: list[tuple[str, str]] = []
    waiting = [*Parser("grammar", {"¬": "\\\\"}).parse(form, text).children]
    while waiting:
        child = waiting.pop(0)
        if hasattr(child, "children"):
            waiting[:0] = child.children
        else:
            found.append((child.type, child.text))
    assert found == expected
    assert found


def test_an_error_says_where_and_what_could_stand_there() -> None:
    with pytest.raises(Unparseable) as caught:
        Parser("grammar", {"¬": "\\\\"}).parse("array", '["a" "b"]')
    assert caught.value.position == 4
    assert "_COMMA" in caught.value.expected

"""From the grammars to parse tables, by Lark.

Lark reads a `.lark` file, checks that it is LALR(1) without conflicts and computes its tables.
They are kept as `tables.json` beside the grammars, so that a build imports no Lark and computes
nothing; each table carries the digest of the grammar it was made from. A grammar that was edited
since is compiled again, in memory. `python -m builder.dockerfile.tables` writes the file anew.
"""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
KEPT = HERE / "tables.json"

STARTS = {
    "grammar": ("line", "words", "pairs", "declarations", "health", "array", "shell", "heredoc"),
    "expand": ("word",),
}
"""The grammars and their start symbols."""


@cache
def tables(name: str) -> dict[str, Any]:
    """The tables of one grammar: those kept, or new ones if the grammar has changed since."""
    text = (HERE / f"{name}.lark").read_text(encoding="utf-8")
    kept: dict[str, Any] = json.loads(KEPT.read_bytes()).get(name, {}) if KEPT.exists() else {}
    return kept if kept.get("digest") == _digest(text) else compile_grammar(text, STARTS[name])


def compile_grammar(text: str, starts: tuple[str, ...]) -> dict[str, Any]:
    """Let Lark compile a grammar and flatten the result to plain JSON values.

    terminals: [name, regular expression], the one to be tried first first.
    rules: [name, symbol, [how each child is taken]]: "keep", "drop" (punctuation) or "splice" (helper rules);
    the name is the symbol or its alias.
    states: {symbol: [next state]} or {terminal: [rule number, "reduce"]}.
    """
    from lark import Lark
    from lark.grammar import NonTerminal

    lark = Lark(text, parser="lalr", lexer="contextual", start=list(starts), maybe_placeholders=False)
    table = lark.parser.parser._parse_table  # the only way to the states
    order = sorted(lark.terminals, key=lambda t: (-t.priority, -t.pattern.max_width, -len(t.pattern.value), t.name))
    numbers = {rule: number for number, rule in enumerate(lark.rules)}

    def taken(symbol: Any) -> str:
        if isinstance(symbol, NonTerminal):
            return "splice" if symbol.name.startswith("_") else "keep"
        return "drop" if symbol.filter_out else "keep"

    states = {}
    for state, actions in table.states.items():
        states[state] = {
            symbol: [target] if action.name == "Shift" else [numbers[target], "reduce"]
            for symbol, (action, target) in sorted(actions.items())
        }
    return {
        "digest": _digest(text),
        "terminals": [[terminal.name, terminal.pattern.to_regexp()] for terminal in order],
        "rules": [
            [rule.alias or rule.origin.name, rule.origin.name, [taken(symbol) for symbol in rule.expansion]]
            for rule in lark.rules
        ],
        "states": [states[number] for number in range(len(states))],
        "start": table.start_states,
        "end": table.end_states,
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _write() -> None:
    made = {name: compile_grammar((HERE / f"{name}.lark").read_text("utf-8"), STARTS[name]) for name in STARTS}
    KEPT.write_text(json.dumps(made, separators=(",", ":"), sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    _write()

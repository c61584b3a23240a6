"""Reading text with the tables that Lark made: a shift-reduce loop and a lexer that knows its place.

Only terminals that the present state can use are tried, and a state that leaves no choice is
reduced before the next terminal is read: so the same character may be text in one place and an
end mark in another (`}` ends a `${…}` and is text elsewhere). Lark itself is not imported here;
that is worth some 30 ms at every start.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from builder.dockerfile.tables import tables
from layers.quick import dataclass

END = "$END"


@dataclass(slots=True)
class Token:
    """A terminal: `text` stands at `start` in what was parsed."""

    type: str
    text: str
    start: int

    @property
    def end(self) -> int:
        """The offset behind the last character."""
        return self.start + len(self.text)


@dataclass(slots=True)
class Node:
    """A rule and what it was made of, punctuation left out."""

    rule: str
    children: "list[Node | Token]"

    def tokens(self, type: str) -> "Iterator[Token]":
        """The children that are terminals of one type."""
        return (child for child in self.children if isinstance(child, Token) and child.type == type)

    def token(self, type: str) -> Token | None:
        """The first child that is a terminal of one type."""
        return next(self.tokens(type), None)

    def nodes(self, rule: str) -> "Iterator[Node]":
        """The children made by one rule."""
        return (child for child in self.children if isinstance(child, Node) and child.rule == rule)


class Unparseable(ValueError):
    """At `position` stands none of the terminals that are `expected` there (`$END` is the end).

    `opened` are the terminals that were read but belong to no finished rule yet.
    """

    def __init__(self, position: int, expected: frozenset[str], opened: tuple[Token, ...] = ()) -> None:
        super().__init__(f"expected one of {', '.join(sorted(expected))} at offset {position}")
        self.position = position
        self.expected = expected
        self.opened = opened


class Parser:
    """One grammar; `spelling` rewrites its patterns, terminals in `without` are never met."""

    def __init__(
        self, grammar: str, spelling: Mapping[str, str] = MappingProxyType({}), without: frozenset[str] = frozenset()
    ) -> None:
        table = tables(grammar)
        self._states: list[dict[str, list[Any]]] = table["states"]
        self._rules: list[tuple[str, str, list[str]]] = table["rules"]
        self._ends: dict[str, tuple[int, int]] = {
            name: (table["start"][name], table["end"][name]) for name in table["end"]
        }
        self._sources = {name: source for name, source in table["terminals"] if name not in without}
        self._spelling = spelling
        self._patterns: dict[str, Callable[[str, int], re.Match[str] | None]] = {}
        self._lexers: list[list[tuple[str, Callable[[str, int], re.Match[str] | None]]] | None] = [None] * len(
            self._states
        )
        self._forced = [_forced(actions) for actions in self._states]

    def parse(self, start: str, text: str) -> Node:
        """The tree of `text`, all of it, read as the start symbol `start`; raises Unparseable."""
        first, last = self._ends[start]
        states, rules, forced = self._states, self._rules, self._forced
        stack, values = [first], list[Any]()
        position, token = 0, None
        while True:
            state = stack[-1]
            rule = forced[state]
            if rule is None:
                if token is None:
                    token = self._read(state, text, position, values)
                target = states[state][token.type]
                if len(target) == 1:
                    stack.append(target[0])
                    values.append(token)
                    position, token = token.start + len(token.text), None
                    continue
                rule = target[0]
            name, symbol, taken = rules[rule]
            cut = len(values) - len(taken)
            children: list[Node | Token] = []
            for how, value in zip(taken, values[cut:], strict=True):
                if how == "keep":
                    children.append(value)
                elif how == "splice" and children:
                    children.extend(value)
                elif how == "splice":
                    children = value  # nobody else has it; copied for each member, a long list would cost its square
            del values[cut:], stack[cut + 1 :]
            values.append(children if symbol[0] == "_" else Node(name, children))
            stack.append(states[stack[-1]][symbol][0])
            if stack[-1] == last:
                if position < len(text):
                    raise Unparseable(position, frozenset((END,)))
                root: Node = values[-1]
                return root

    def _read(self, state: int, text: str, position: int, values: list[Any]) -> Token:
        """The next terminal that `state` can use; the end counts as one."""
        lexer = self._lexers[state]
        if lexer is None:
            usable = [name for name in self._sources if name in self._states[state]]
            lexer = self._lexers[state] = [(name, self._pattern(name)) for name in usable]
        for name, match in lexer:
            if found := match(text, position):
                return Token(name, found[0], position)
        if position == len(text) and END in self._states[state]:
            return Token(END, "", position)
        expected = frozenset(name for name in self._states[state] if name.isupper())
        raise Unparseable(position, expected, tuple(value for value in values if isinstance(value, Token)))

    def _pattern(self, name: str) -> Callable[[str, int], re.Match[str] | None]:
        """How to match a terminal; compiled when first needed, each costs a part of a millisecond."""
        if name not in self._patterns:
            source = self._sources[name]
            for old, new in self._spelling.items():
                source = source.replace(old, new)
            self._patterns[name] = re.compile(source).match
        return self._patterns[name]


def _forced(actions: dict[str, list[Any]]) -> int | None:
    """The one rule that every terminal in this state reduces; None where there is a choice."""
    rules = {target[0] if len(target) == 2 else None for target in actions.values()}
    return rules.pop() if len(rules) == 1 else None


@cache
def dockerfile(escape: str) -> Parser:
    """The grammar of logical lines, for one escape character."""
    return Parser("grammar", {"¬": re.escape(escape)})

"""One logical line, cut: its keyword, its flags, and the rest in the form its instruction wants.

A Statement is what `typed` makes instructions of. It knows places: every piece it hands out
carries its span, and `fail` makes errors that point at one.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Literal

from builder.dockerfile.expansion import check
from builder.dockerfile.fold import LogicalLine
from builder.dockerfile.instructions import Pair, Word
from builder.dockerfile.lalr import Node, Token, Unparseable, dockerfile
from builder.dockerfile.quotes import unquote
from builder.dockerfile.suggest import nearest
from builder.errors import DockerfileError
from builder.span import Span
from layers.quick import dataclass

FlagKind = Literal["text", "many", "bool"]

_GAPS = " \t\v\f\r\n\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
"""What is not counted as the beginning of arguments: all of Unicode's blanks."""
_BLANK = r"[ \t\v\f\r\n]"
_FLAGLESS = re.compile(rf"({_BLANK.replace('[', '[^')}+)(?:{_BLANK}+(?!{_BLANK}|--)(.+))?", re.DOTALL)
"""What the grammar's `line` is without flags, which most lines are."""
_PAIR = re.compile(r"""([\w.-]+)=([!#-&(-[\]-_a-~]*|"[^"\\`]*")(?:[ \t]+|\Z)""", re.ASCII)
"""A pair that is read the same whatever the escape character: one name, and a value plain or wholly in quotes."""


@dataclass(frozen=True, slots=True)
class Flag:
    """`--name=value` with the quotes taken off; a bare flag has no value."""

    name: str
    value: str | None
    span: Span


@dataclass(frozen=True, slots=True)
class Statement:
    """A logical line; `rest` begins at offset `at` of its text."""

    line: LogicalLine
    escape: str
    keyword: str
    flags: tuple[Flag, ...]
    rest: str
    at: int

    @property
    def name(self) -> str:
        """The instruction, in capitals."""
        return self.keyword.upper()

    def fail(self, what: str, start: int = 0, end: int | None = None, *, help: str = "") -> DockerfileError:
        """An error that points at a slice of the rest (at the keyword, if there is no rest)."""
        if not self.rest:
            start_of_line = self.line.text.find(self.keyword)
            return DockerfileError(self.line.span(start_of_line, start_of_line + len(self.keyword)), what, help=help)
        end = len(self.rest) if end is None else end
        return DockerfileError(self.span(start, end), what, help=help)

    def span(self, start: int, end: int) -> Span:
        """The place of a slice of the rest."""
        return self.line.span(self.at + start, self.at + end)

    def parse(self, form: str) -> Node:
        """The rest, read as one of the forms of the grammar; raises Unparseable."""
        return dockerfile(self.escape).parse(form, self.rest)

    def word(self, token: Token) -> Word:
        """A token of the rest as a checked Word."""
        word = Word(token.text, self.span(token.start, token.end), self.escape)
        check(word)
        return word

    def whole(self) -> Word:
        """The whole rest as one checked Word: the only argument of WORKDIR, USER, STOPSIGNAL."""
        if not self.rest:
            raise self.fail(f"{self.name} requires exactly one argument")
        return self.word(Token("REST", self.rest, 0))

    def words(self) -> list[Word]:
        """The rest, cut at blanks."""
        return [self.word(token) for token in self.parse("words").tokens("WORD")] if self.rest else []

    def array(self) -> list[Word] | None:
        """The strings of the JSON form (unchecked words); None if the rest is no JSON array.

        A JSON array of anything else is an error, never a shell command.
        """
        if not self.rest.startswith("["):
            return None
        try:
            tree = self.parse("array")
        except (Unparseable, RecursionError):
            return None
        strings: list[Word] = []
        for item in tree.children:
            if not isinstance(item, Token) or item.type != "STRING":
                raise self.fail("when using JSON array syntax, arrays must be comprised of strings only")
            text = json.loads(item.text)
            if any("\ud800" <= char <= "\udfff" for char in text) and "\\u" in item.text:
                text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            strings.append(Word(text, self.span(item.start, item.end), self.escape))
        return strings

    def list(self) -> list[Word]:
        """The JSON form if it is one, else words cut at blanks: COPY, ADD, VOLUME."""
        strings = self.array()
        if strings is None:
            return self.words()
        for word in strings:
            check(word)
        return strings

    def pairs(self) -> tuple[tuple[Pair, ...], bool]:
        """`key=value …` or `key rest`, and whether it was the latter: ENV, LABEL."""
        if not self.rest:
            raise self.fail(f"{self.name} requires at least one argument")
        if (plain := self.plain_pairs()) is not None:
            return plain, False
        try:
            tree = self.parse("pairs")
        except Unparseable as error:
            bad = self.rest[error.position :].split()[0] if self.rest[error.position :].strip() else self.rest
            if error.position == 0 or bad == self.rest:
                raise self.fail(f"{self.name} must have two arguments", help=f"write {self.name} name=value") from None
            what = f"Syntax error - can't find = in {bad!r}. Must be of the form: name=value"
            help = "a value with blanks needs quotes" if error.position else ""
            raise self.fail(what, error.position, error.position + len(bad), help=help) from None
        if tree.rule == "legacy":
            key, value = tree.children
            assert isinstance(key, Token) and isinstance(value, Token)
            return (Pair(self.word(key), self.word(value)),), True
        return tuple(self.pair(node) for node in tree.nodes("pair")), False

    def plain_pairs(self) -> tuple[Pair, ...] | None:
        """The pairs, if a look at each is enough; None if it takes the grammar."""
        pairs, at = [], 0
        while at < len(self.rest):
            if (found := _PAIR.match(self.rest, at)) is None:
                return None
            key, value = (Word(found[side], self.span(*found.span(side)), self.escape) for side in (1, 2))
            pairs.append(Pair(key, value))
            at = found.end()
        for pair in pairs:
            check(pair.value)
        return tuple(pairs)

    def pair(self, node: Node) -> Pair:
        """One `key=value`."""
        key, value = node.token("KEY"), node.token("VALUE")
        if key is None:
            at = value.start if value else 0
            raise self.fail(f"{self.name} names can not be blank", max(at - 1, 0), value.end if value else None)
        empty = Token("VALUE", "", key.end + 1)
        return Pair(self.word(key), self.word(value or empty))

    def flag_values(self, known: Mapping[str, FlagKind]) -> "Flags":
        """The flags, checked against those that the instruction knows; raises on the first bad one."""
        seen: set[str] = set()
        for flag in self.flags:
            kind = known.get(flag.name)
            if kind is None:
                near = nearest(flag.name, known)
                guess = f" (did you mean {' or '.join(f'--{name}' for name in near)}?)" if near else ""
                takes = ", ".join(f"--{name}" for name in sorted(known))
                help = f"{self.name} takes {takes}" if known else f"{self.name} takes no flags"
                raise DockerfileError(flag.span, f"unknown flag: --{flag.name}{guess}", help=help)
            if kind != "many" and flag.name in seen:
                raise DockerfileError(flag.span, f"duplicate flag specified: --{flag.name}")
            if kind == "bool" and flag.value is not None and flag.value.lower() not in ("true", "false"):
                what = f"expecting boolean value for flag --{flag.name}, not: {flag.value}"
                raise DockerfileError(flag.span, what, help=f"write --{flag.name}, --{flag.name}=true or =false")
            if kind != "bool" and flag.value is None:
                raise DockerfileError(flag.span, f"missing a value on flag: --{flag.name}")
            seen.add(flag.name)
        return Flags(self.flags, self.escape)


@dataclass(frozen=True, slots=True)
class Flags:
    """Checked flags, asked for by name."""

    given: tuple[Flag, ...]
    escape: str

    def all(self, name: str) -> Iterator[Flag]:
        """Every use of a flag."""
        return (flag for flag in self.given if flag.name == name)

    def text(self, name: str) -> str | None:
        """The value of a flag; None if it was not given."""
        return next((flag.value for flag in self.all(name)), None)

    def word(self, name: str) -> Word | None:
        """The value of a flag that may hold variables."""
        for flag in self.all(name):
            word = Word(flag.value or "", flag.span, self.escape)
            check(word)
            return word
        return None

    def switch(self, name: str) -> bool | None:
        """A bool flag: bare means true; None if it was not given."""
        return next(((flag.value or "").lower() != "false" for flag in self.all(name)), None)


def statement(line: LogicalLine, escape: str) -> Statement:
    """Cut a logical line, which is not empty."""
    text = line.text.lstrip()
    indent = len(line.text) - len(text)
    if (plain := _FLAGLESS.fullmatch(text)) is not None:
        rest = (plain[2] or "").lstrip(_GAPS)
        return Statement(line, escape, plain[1], (), rest, indent + len(text) - len(rest))
    tree = dockerfile(escape).parse("line", text)
    keyword, last = tree.token("KEYWORD"), tree.token("REST")
    assert keyword is not None
    flags: list[Flag] = []
    for node in tree.nodes("flag"):
        name, value = node.token("FLAG"), node.token("FLAG_VALUE")
        assert name is not None
        bare = value is None and not text.startswith("=", name.end)
        span = line.span(indent + name.start, indent + (value.end if value else name.end + (not bare)))
        flags.append(Flag(unquote(name.text)[2:], None if bare else unquote(value.text) if value else "", span))
    rest = last.text.lstrip(_GAPS) if last else ""
    return Statement(line, escape, keyword.text, tuple(flags), rest, indent + len(text) - len(rest))

"""Words to text: quotes, escapes and `${NAME:-word}` with every modifier.

Rules: Dockerfile reference, "Environment replacement"; where it is silent, as BuildKit does. The
modifiers are `- :- + :+ ? :?`, `# ## % %%` (cut a prefix or suffix) and `/ //` (replace); patterns know
`*`, `?` and `\\`, no brackets. A variable that is not set is empty. Every error is a DockerfileError
that points at the word, at the character where possible.
"""

import re
from collections.abc import Callable, Iterator
from functools import cache, lru_cache

from builder.dockerfile.instructions import Heredoc, Word
from builder.dockerfile.lalr import Node, Parser, Token, Unparseable
from builder.errors import DockerfileError
from builder.span import Span
from layers.quick import dataclass

Lookup = Callable[[str], str | None]
"""The value of a variable, or None if it is not set."""

DEEPEST = 100
"""How many substitutions may lie in one another: more are no text of a person, and would exhaust our stack."""
_SPECIAL = re.compile(r"[$'\"\\`]")
_LITERAL = re.compile(r"""([^$'"\\`]*)|"([^$"\\`]*)"|'([^'$\\`]*)'""")
"""Words that stand for the same whatever the variables and the escape character: most, so they need no grammar."""


def expand(word: Word, lookup: Lookup) -> str:
    """The text that a word stands for."""
    if (literal := _LITERAL.fullmatch(word.text)) is not None:
        return literal[literal.lastindex or 0]
    return "".join(text for text, _ in _Expansion(word.text, lookup, word.span).pieces(_tree(word)))


def words(word: Word, lookup: Lookup) -> list[str]:
    """The words that a word stands for: blanks that were neither quoted nor escaped part them (EXPOSE)."""
    found: list[str] = []
    open_ = False
    for text, splits in _Expansion(word.text, lookup, word.span).pieces(_tree(word)):
        for part in re.split(r"(\s+)", text) if splits else (text,):
            if splits and part.isspace():
                open_ = False
            elif part and open_:
                found[-1] += part
            elif part:
                found.append(part)
                open_ = True
    return found


def expand_heredoc(heredoc: Heredoc, lookup: Lookup) -> str:
    """The text of a here-document that COPY or ADD makes a file of; quotes are text in it."""
    if not heredoc.expand or not _SPECIAL.search(heredoc.text):
        return heredoc.text
    text = heredoc.text
    tree = _parse(text, "\\", heredoc.span, heredoc=True, first_line=heredoc.line)
    return "".join(part for part, _ in _Expansion(text, lookup, heredoc.span).pieces(tree))


def check(word: Word) -> None:
    """Raise if the word can never be expanded: a quote is open, a substitution is not one."""
    if not _LITERAL.fullmatch(word.text):
        _tree(word)


def variables(word: Word) -> frozenset[str]:
    """The names of all variables that a word mentions."""
    if "$" not in word.text:
        return frozenset()
    return frozenset(_mentioned(_tree(word)))


def _mentioned(node: Node) -> Iterator[str]:
    for child in node.children:
        if isinstance(child, Node):
            yield from _mentioned(child)
        elif child.type in ("SHORT", "PARAMETER"):
            yield child.text.removeprefix("$") if child.type == "SHORT" else child.text


@dataclass(frozen=True, slots=True)
class _Expansion:
    """Expanding one text, with these values."""

    text: str
    lookup: Lookup
    span: Span

    def pieces(self, node: Node, *, raw: bool = False) -> Iterator[tuple[str, bool]]:
        """The parts of a word, and whether blanks in them part words; `raw` keeps escape characters (patterns)."""
        for child in node.children:
            if isinstance(child, Token):
                escaped = child.type in ("ESCAPED", "ESCAPED_IN_QUOTES") and not raw
                plain = child.text[1:] if escaped else child.text[1:-1] if child.type == "SINGLE" else child.text
                yield plain, child.type not in ("ESCAPED", "SINGLE")
            elif child.rule == "double":
                yield self.all(child, raw=raw), False
            else:
                yield self.variable(child), True

    def all(self, node: Node, *, raw: bool = False) -> str:
        """The whole text of a word within the word."""
        return "".join(text for text, _ in self.pieces(node, raw=raw))

    def variable(self, node: Node) -> str:
        """What `$name` or `${name…}` stands for."""
        name, *rest = node.children
        assert isinstance(name, Token)
        value = self.lookup(name.text.removeprefix("$") if name.type == "SHORT" else name.text)
        match rest:
            case []:
                return value or ""
            case [Token(type="REPLACE", text=sign), Node() as pattern, Node() as new]:
                return self.replace(sign, value or "", self.all(pattern, raw=True), self.all(new, raw=True))
            case [Token(text=sign), Node() as word]:
                return self.modified(name, sign, value, word)
        raise AssertionError(rest)

    def modified(self, name: Token, sign: str, value: str | None, word: Node) -> str:
        """`${name<sign>word}`; a word that is not needed is expanded all the same, so its errors show."""
        text = self.all(word, raw=sign[0] in "#%")
        missing = value is None or (sign[0] == ":" and value == "")
        match sign[-1]:
            case "-":
                return text if missing else value or ""
            case "+":
                return "" if missing else text
            case "?":
                if missing:
                    reason = text or f"is not allowed to be {'unset' if value is None else 'empty'}"
                    raise DockerfileError(_within(self.span, self.text, name.start), f"{name.text}: {reason}")
                return value or ""
            case "#":
                found = re.match(self.regex(text, greedy=len(sign) == 2), value or "")
                return (value or "")[found.end() :] if found else value or ""
            case _:
                tail = self.regex(text, greedy=True) + r"\Z"
                start = "(.*?)" if len(sign) == 2 else "(.*)"
                found = re.match(f"(?s:{start}){tail}", value or "")
                return found[1] if found else value or ""

    def replace(self, sign: str, value: str, pattern: str, new: str) -> str:
        """`${name/pattern/new}` once, `//` everywhere; an empty match right behind another one does not count."""
        parts, behind, last = list[str](), 0, -1
        for found in re.finditer(self.regex(pattern, greedy=True), value):
            if found.start() == found.end() == last:
                continue
            parts += value[behind : found.start()], new
            behind = last = found.end()
            if sign == "/":
                break
        return "".join(parts) + value[behind:]

    def regex(self, pattern: str, *, greedy: bool) -> str:
        """A shell pattern as a regular expression."""
        out: list[str] = []
        chars = iter(re.sub(r"(?<!\\)\*+", "*", pattern))
        for char in chars:
            if char == "\\":
                following = next(chars, "")
                if not following or following not in "*?\\/}":
                    what = f"invalid pattern ({pattern}) in substitution: invalid escape '\\{following}'"
                    raise DockerfileError(self.span, what)
                out.append(re.escape(following))
            else:
                out.append((".*" if greedy else ".*?") if char == "*" else "." if char == "?" else re.escape(char))
        return "".join(out)


def _tree(word: Word) -> Node:
    return _parse(word.text, word.escape, word.span)


def _parse(text: str, escape: str, span: Span, *, heredoc: bool = False, first_line: int = 0) -> Node:
    try:
        tree = _parsed(text, escape, heredoc)
    except Unparseable as error:
        reason, position = _reason(text, error)
        where = _line(span, text, position, first_line) if heredoc else _within(span, text, position)
        raise DockerfileError(where, reason) from None
    if text.count("${") > DEEPEST and _depth(tree) > DEEPEST:
        raise DockerfileError(span, f"substitutions in substitutions, more than {DEEPEST} deep")
    return tree


@lru_cache(maxsize=4096)
def _parsed(text: str, escape: str, heredoc: bool) -> Node:
    return _parser(escape, heredoc).parse("word", text)


def _depth(tree: Node) -> int:
    """How deep substitutions lie in substitutions; found without going deep itself."""
    deepest, waiting = 0, [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        deepest = max(deepest, depth)
        inner = (child for child in node.children if isinstance(child, Node))
        waiting += [(child, depth + (child.rule == "variable")) for child in inner]
    return deepest


@cache
def _parser(escape: str, heredoc: bool) -> Parser:
    spelling = {"¬": re.escape(escape)} | ({"'\"": ""} if heredoc else {})
    return Parser("expand", spelling, frozenset(("SINGLE", "_QUOTE")) if heredoc else frozenset())


def _reason(text: str, error: Unparseable) -> tuple[str, int]:
    """What is wrong, and the character to point at: what was opened and not closed, or what cannot be read."""
    opened = {token.type: token.start for token in error.opened}
    ended = error.position >= len(text)
    if "_END_QUOTE" in error.expected:
        return "unexpected end of statement while looking for matching double-quote", opened["_QUOTE"]
    if text.startswith("'", error.position):
        return "unexpected end of statement while looking for matching single-quote", error.position
    if "PARAMETER" in error.expected and not ended:
        return "syntax error: bad substitution", opened["_OPEN"]
    if ended and "_SLASH" in error.expected:
        return "syntax error: missing '/' in ${}", opened["_OPEN"]
    if "MODIFIER" in error.expected and text[error.position : error.position + 1].isprintable() and not ended:
        sign = text[error.position : error.position + (2 if text[error.position] == ":" else 1)]
        return f"unsupported modifier ({sign}) in substitution", error.position
    return "syntax error: missing '}'", opened.get("_OPEN", error.position)


def _within(span: Span, text: str, position: int) -> Span:
    """The character of a word, where the word stands in the file as it is; else the whole word."""
    if span.line == span.end_line and span.end_column - span.column == len(text):
        return Span(span.line, span.column + position, span.line, span.column + position + 1, span.text)
    return span


def _line(span: Span, text: str, position: int, first: int) -> Span:
    """The character of a here-document's body."""
    number = first + text.count("\n", 0, position)
    column = position - (text.rfind("\n", 0, position) + 1)
    return Span(number, column + 1, number, column + 2, span.text)

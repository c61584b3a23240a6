"""From the bytes of a Dockerfile to logical lines, each character of which knows where it came from.

Takes out what is not an instruction: parser directives, comments, line continuations, the bodies of
here-documents (kept raw, byte for byte). Bytes that are no UTF-8 survive as surrogates. Rules:
Dockerfile reference, "Format", "Parser directives", "Here-documents". Errors are collected, so that
the rest of the file can still be read.
"""

import re
from bisect import bisect_right

from builder.dockerfile.instructions import Heredoc
from builder.dockerfile.lalr import Token, Unparseable, dockerfile
from builder.dockerfile.quotes import unquote
from builder.errors import DockerfileError
from builder.span import Span, Text
from layers.quick import dataclass, field

LONGEST_LINE = 65535
"""Bytes in one physical line, as in BuildKit."""

_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$")
_DIRECTIVES = ("syntax", "escape", "check")
_TAKES_HEREDOCS = re.compile(r"\s*(?:onbuild\s+)?(?:run|copy|add)\s", re.IGNORECASE)
_CONTINUES = {escape: re.compile(rf"(?:^|(?<=[^{re.escape(escape)}])){re.escape(escape)}[ \t]*$") for escape in "\\`"}


@dataclass(frozen=True, slots=True)
class Directive:
    """One parser directive, `# name=value`; the name in lower case."""

    name: str
    value: str
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Marker:
    """Where a here-document is opened, and how: `3<<-"EOF"`."""

    name: str
    expand: bool
    chomp: bool
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class LogicalLine:
    """One instruction as text. `pieces` says which physical line each part of it was: (offset, line, column)."""

    text: str
    pieces: tuple[tuple[int, int, int], ...]
    origin: Text
    heredocs: tuple[Heredoc, ...] = ()
    comments: tuple[str, ...] = ()
    blanks: tuple[int, ...] = ()

    def span(self, start: int = 0, end: int | None = None) -> Span:
        """The place of a slice of the text; of all of it by default."""
        end = len(self.text) if end is None else end
        if len(self.pieces) == 1:
            _, line, column = self.pieces[0]
            return Span(line, column + start, line, column + max(start, end), self.origin)
        line, column = self._place(start, self.pieces)
        last, behind = self._place(max(end - 1, start), self.pieces)
        return Span(line, column, last, behind + (end > start), self.origin)

    @staticmethod
    def _place(offset: int, pieces: tuple[tuple[int, int, int], ...]) -> tuple[int, int]:
        at, line, column = pieces[bisect_right(pieces, offset, key=lambda piece: piece[0]) - 1]
        return line, column + offset - at


@dataclass(frozen=True, slots=True)
class Source:
    """A Dockerfile, folded. `errors` are those met on the way."""

    text: Text
    escape: str
    directives: tuple[Directive, ...]
    lines: tuple[LogicalLine, ...]
    errors: tuple[DockerfileError, ...] = ()


def fold(data: bytes, name: str = "Dockerfile") -> Source:
    """Fold a whole file."""
    physical = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape").split("\n")
    ended = physical[-1] != ""
    if not ended:
        physical.pop()
    folder = _Folder(physical, name, ended)
    return folder.fold()


def marker(word: str) -> Marker | None:
    """What a shell word says if it opens a here-document; None if it does not."""
    if "<<" not in word:
        return None
    try:
        tree = dockerfile("\\").parse("heredoc", word)
    except Unparseable:
        return None
    delimiter = tree.token("DELIMITER")
    assert delimiter is not None
    text = delimiter.text.lstrip(" \t")
    name = unquote(text)
    return Marker(name, name == text, tree.token("CHOMP") is not None, 0, len(word)) if name else None


def markers(text: str) -> list[Marker]:
    """Every here-document that a logical line opens, in order."""
    stripped = text.strip()
    start = text.find(stripped)
    words = (child for child in dockerfile("\\").parse("shell", stripped).children if isinstance(child, Token))
    found = ((word.start + start, marker(word.text)) for word in words)
    return [Marker(m.name, m.expand, m.chomp, at, at + m.end) for at, m in found if m]


class _Folder:
    """The state of folding one file: where it is, what it has found."""

    def __init__(self, physical: list[str], name: str, unended: bool) -> None:
        self.physical = physical
        self.unended = unended
        self.text = Text(name, tuple(line.rstrip("\r") for line in physical))
        self.escape = "\\"
        self.directives: list[Directive] = []
        self.lines: list[LogicalLine] = []
        self.errors: list[DockerfileError] = []
        self.at = 0
        """How many physical lines have been read."""

    def fold(self) -> Source:
        """Read everything."""
        self._measure()
        self._read_directives()
        comments: list[str] = []
        continues = _CONTINUES[self.escape]
        while self.at < len(self.physical):
            line = self.text.lines[self.at]
            self.at += 1
            body = line.lstrip()
            if body.startswith("#"):
                if comment := body[1:].strip():
                    comments.append(comment)
                else:
                    comments = []
            elif body:
                self.lines.append(self._logical(body, len(line) - len(body), tuple(comments), continues))
                comments = []
        return Source(self.text, self.escape, tuple(self.directives), tuple(self.lines), tuple(self.errors))

    def _measure(self) -> None:
        for number, line in enumerate(self.text.lines, 1):
            if len(line) > LONGEST_LINE // 4 and len(line.encode("utf-8", "surrogateescape")) > LONGEST_LINE:
                what = f"dockerfile line greater than max allowed size of {LONGEST_LINE}"
                self.errors.append(DockerfileError(Span(number, 1, number, 2, self.text), what))

    def _read_directives(self) -> None:
        for number, line in enumerate(self.text.lines, 1):
            found = _DIRECTIVE.match(line.strip())
            if not found or found[1].lower() not in _DIRECTIVES:
                return
            self.at = number
            start = len(line) - len(line.lstrip())
            span = Span(number, start + 1, number, len(line.rstrip()) + 1, self.text)
            name = found[1].lower()
            if any(known.name == name for known in self.directives):
                self.errors.append(DockerfileError(span, f"only one {name} parser directive can be used"))
            elif name == "escape" and found[2] not in _CONTINUES:
                what = f"invalid escape token {found[2]!r} does not match ` or \\"
                self.errors.append(DockerfileError(span, what))
            else:
                self.escape = found[2] if name == "escape" else self.escape
                self.directives.append(Directive(name, found[2], span))

    def _logical(self, body: str, indent: int, comments: tuple[str, ...], continues: re.Pattern[str]) -> LogicalLine:
        """The logical line that begins with `body`, the last physical line read."""
        pieces, blanks = [(0, self.at, indent + 1)], list[int]()
        end = continues.search(body)
        parts, length = [body[: end.start()] if end else body], end.start() if end else len(body)
        while end and self.at < len(self.physical):
            line = self.text.lines[self.at]
            self.at += 1
            start = line.lstrip()
            if not start:
                blanks.append(self.at)
            if not start or start.startswith("#"):
                continue
            end = continues.search(line)
            part = line[: end.start()] if end else line
            pieces.append((length, self.at, 1))
            parts.append(part)
            length += len(part)
        logical = LogicalLine("".join(parts).rstrip(), tuple(pieces), self.text, (), comments, tuple(blanks))
        if "<<" not in logical.text or not _TAKES_HEREDOCS.match(logical.text):
            return logical
        heredocs = tuple(self._heredoc(logical, opened) for opened in markers(logical.text))
        return LogicalLine(logical.text, logical.pieces, self.text, heredocs, comments, logical.blanks)

    def _heredoc(self, line: LogicalLine, opened: Marker) -> Heredoc:
        """The body that follows, up to its terminator; without one it is an error and takes the rest of the file."""
        first, span = self.at, line.span(opened.start, opened.end)
        while self.at < len(self.physical):
            candidate = self.text.lines[self.at]
            self.at += 1
            if (candidate.lstrip("\t") if opened.chomp else candidate) == opened.name:
                body = "".join(f"{raw}\n" for raw in self.physical[first : self.at - 1])
                return Heredoc(opened.name, body, opened.expand, opened.chomp, span, first + 1)
        help = f"close it with a line that is exactly {opened.name!r}; case and blanks matter"
        self.errors.append(DockerfileError(span, f"unterminated heredoc: <<{opened.name} is never closed", help=help))
        return Heredoc(opened.name, "", opened.expand, opened.chomp, span, first + 1)

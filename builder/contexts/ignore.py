"""Which paths of a context are ignored: the patterns of a .dockerignore file.

Matching is docker's (Dockerfile reference, ".dockerignore file"): patterns are anchored at the root of the context,
the last one that matches decides, and a pattern that matches a directory matches all that is below it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from itertools import groupby
from pathlib import Path
from posixpath import normpath

from builder.errors import ContextError
from layers.quick import dataclass

BOM = "\ufeff"


@dataclass(frozen=True)
class Pattern:
    """One line. `keeps` is a leading `!`: what it matches is not ignored after all."""

    text: str
    keeps: bool
    line: int

    @cached_property
    def regex(self) -> str:
        """The pattern as a regular expression for a whole path. Raises ValueError."""
        return translate(self.text)

    @cached_property
    def fixed(self) -> str:
        """The part before the first wildcard."""
        return re.split(r"[*?\[\\]", self.text, maxsplit=1)[0]


@dataclass(frozen=True, slots=True)
class State:
    """What is known of a directory: for each run of patterns, whether it matched it or a directory above.

    As with docker a run is only tried where it could change something: a `!` that matches a directory which is not
    ignored means nothing for what is in it.
    """

    matched: tuple[bool, ...]
    ignored: bool


class Ignore:
    """The patterns of one file, ready to match."""

    def __init__(self, patterns: Iterable[Pattern] = (), name: str = ".dockerignore") -> None:
        self.patterns = tuple(patterns)
        self.name = name
        self._runs = [
            (keeps, re.compile("|".join(f"(?:{pattern.regex})" for pattern in run), re.DOTALL).fullmatch)
            for keeps, run in groupby(self.patterns, lambda pattern: pattern.keeps)
        ]
        self.top = State((False,) * len(self._runs), False)

    def __bool__(self) -> bool:
        return bool(self.patterns)

    @classmethod
    def parse(cls, data: bytes, name: str = ".dockerignore") -> Ignore:
        """Read a file. Raises ContextError naming the line of a pattern that means nothing."""
        lines = data.decode("utf-8", "surrogateescape").removeprefix(BOM).split("\n")
        return cls.of(("" if line.startswith("#") else line for line in lines), name)

    @classmethod
    def of(cls, lines: Iterable[str], name: str = "--exclude") -> Ignore:
        """Read lines; a `#` begins no comment here. Raises ContextError."""
        found = []
        for number, line in enumerate(lines, 1):
            text = line.strip()
            if not text:
                continue
            keeps = text.startswith("!")
            text = text.removeprefix("!").strip() if keeps else text
            clean = normpath(text).lstrip("/") if text else ""
            if keeps and not clean:
                raise ContextError(
                    f'{name}:{number}: illegal exclusion pattern: "{line.strip()}"', help="write !PATTERN"
                )
            pattern = Pattern(clean or "/", keeps, number)
            try:
                re.compile(pattern.regex)
            except (ValueError, re.error):
                raise ContextError(f"{name}:{number}: {text!r} is not a pattern: check its brackets") from None
            found.append(pattern)
        return cls(found, name)

    def state(self, path: str, above: State) -> State:
        """What is known of `path`, whose directory's state is `above`."""
        matched = []
        ignored = False
        for before, (keeps, run) in zip(above.matched, self._runs, strict=True):
            hit = before or (keeps == ignored and run(path) is not None)
            matched.append(hit)
            if hit:
                ignored = not keeps
        return State(tuple(matched), ignored)

    def hides(self, path: str, above: State) -> bool:
        """True if `path`, which is no directory, is ignored; `above` as for `state`."""
        ignored = False
        for before, (keeps, run) in zip(above.matched, self._runs, strict=True):
            if before or (keeps == ignored and run(path) is not None):
                ignored = not keeps
        return ignored

    def ignores(self, path: str) -> bool:
        """True if a path is ignored, for its own sake or that of a directory above it."""
        return self.find(path).ignored

    def find(self, path: str) -> State:
        """The state of any path."""
        state = self.top
        if path and self._runs:
            for end in (found.start() for found in re.finditer(r"/|\Z", path)):
                state = self.state(path[:end], state)
        return state

    def may_keep_below(self, path: str) -> bool:
        """True if a `!` pattern could match something below an ignored directory."""
        inside = f"{path}/"
        return any(
            pattern.keeps
            and (
                pattern.fixed.startswith(inside) or (pattern.fixed != pattern.text and inside.startswith(pattern.fixed))
            )
            for pattern in self.patterns
        )

    def hits(self, path: str) -> list[tuple[Pattern, str]]:
        """The patterns that count for a path, in order, each with what it matches: the path or a directory above.

        The last one decides.
        """
        found: dict[int, str] = {}
        for end in (found.start() for found in re.finditer(r"/|\Z", path)):
            ignored = False
            for number, pattern in enumerate(self.patterns):
                matters = number not in found and pattern.keeps == ignored
                if matters and re.compile(pattern.regex, re.DOTALL).fullmatch(path[:end]):
                    found[number] = path[:end]
                if number in found:
                    ignored = not pattern.keeps
        return [(self.patterns[number], found[number]) for number in sorted(found)]

    def why(self, path: str) -> Pattern | None:
        """The pattern that decides about a path."""
        hits = self.hits(path)
        return hits[-1][0] if hits else None


ENDING = re.compile(r"\*\*[^*?\[\]\\]*")
"""What begins with ** and goes on with nothing special: how a path ends, in the middle of a name, too."""


def translate(pattern: str) -> str:
    """A pattern as a regular expression. Raises ValueError for a class that does not end."""
    if ENDING.fullmatch(pattern):
        return f"(?:.*/)?{re.escape(pattern[3:])}" if pattern.startswith("**/") else f".*{re.escape(pattern[2:])}"
    out: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*" and pattern.startswith("*", at):
            at += 1
            if pattern.startswith("/", at):
                at += 1
            out.append(".*" if at == len(pattern) else "(?:.*/)?")
        elif char == "*":
            out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif char == "[":
            text, at = character_class(pattern, at)
            out.append(text)
        elif char == "\\":
            if at == len(pattern):
                raise ValueError("a backslash at the end")
            out.append(escaped(pattern[at]))
            at += 1
        else:
            out.append(re.escape(char))
    return "".join(out)


ESCAPES = {
    **{letter: re.escape(char) for letter, char in zip("aftnrv", "\a\f\t\n\r\v", strict=True)},
    "d": "[0-9]",
    "D": "[^0-9]",
    "s": r"[\t\n\f\r ]",
    "S": r"[^\t\n\f\r ]",
    "w": "[0-9A-Za-z_]",
    "W": "[^0-9A-Za-z_]",
    "b": r"\b",
    "B": r"\B",
    "A": r"\A",
    "z": r"\Z",
}
"""What docker makes of a backslash before a letter: it is left to the regular expressions of Go."""


def escaped(char: str) -> str:
    """What a backslash and a character mean. Raises ValueError for what Go does not know."""
    if not (char.isascii() and char.isalnum()):
        return re.escape(char)
    if char not in ESCAPES:
        raise ValueError(f"a backslash before {char!r} means nothing")
    return ESCAPES[char]


def character_class(pattern: str, at: int) -> tuple[str, int]:
    """The class that begins behind `[`, and where it ends, as Go's filepath.Match reads it. Raises ValueError."""

    def member() -> str:
        nonlocal at
        if pattern.startswith(("-", "]"), at) or at == len(pattern):
            raise ValueError("a character class that does not end, or a range without ends")
        at += pattern.startswith("\\", at)
        if at == len(pattern):
            raise ValueError("a backslash at the end")
        at += 1
        return re.escape(pattern[at - 1])

    negated = pattern.startswith("^", at)
    at += negated
    members = [member()]
    while not pattern.startswith("]", at):
        if pattern.startswith("-", at):
            at += 1
            members.append("-" + member())
            if pattern.startswith("-", at):
                raise ValueError("a range that is one already")
        else:
            members.append(member())
    return f"[{'^' if negated else ''}{''.join(members)}]", at + 1


def places(directory: Path | None, dockerfile: Path | None, named: Path | None = None) -> list[Path]:
    """Where the ignore file of a context may be, the first one counts: as docker looks for it, then as buildah does."""
    if named is not None:
        return [named]
    found = []
    for kind in ("dockerignore", "containerignore"):
        found += [dockerfile.with_name(f"{dockerfile.name}.{kind}")] if dockerfile is not None else []
        found += [directory / f".{kind}"] if directory is not None else []
    return found

"""Which paths of a context are ignored: the patterns of a .dockerignore file.

Matching is docker's (Dockerfile reference, ".dockerignore file"): patterns are anchored at the root of the context,
the last one that matches decides, and a pattern that matches a directory matches all that is below it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from itertools import groupby
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
    """What is known of a directory: for each run of patterns, whether it matched it or a directory above."""

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
            if not text:
                raise ContextError(f'{name}:{number}: illegal exclusion pattern: "!"', help="write !PATTERN")
            pattern = Pattern(normpath(text).lstrip("/") or "/", keeps, number)
            try:
                re.compile(pattern.regex)
            except (ValueError, re.error):
                raise ContextError(f"{name}:{number}: {text!r} is not a pattern: check its brackets") from None
            found.append(pattern)
        return cls(found, name)

    def state(self, path: str, above: State) -> State:
        """What is known of `path`, whose directory's state is `above`."""
        matched = tuple(
            before or run(path) is not None for before, (_, run) in zip(above.matched, self._runs, strict=True)
        )
        ignored = False
        for hit, (keeps, _) in zip(matched, self._runs, strict=True):
            if hit:
                ignored = not keeps
        return State(matched, ignored)

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

    def why(self, path: str) -> Pattern | None:
        """The pattern that decides about a path."""
        ways = [path[: found.start()] for found in re.finditer(r"/|\Z", path)]
        for pattern in reversed(self.patterns):
            match = re.compile(pattern.regex, re.DOTALL).fullmatch
            if any(match(way) for way in ways):
                return pattern
        return None


def translate(pattern: str) -> str:
    """A pattern as a regular expression. Raises ValueError for a class that does not end."""
    out: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*" and pattern.startswith("*", at):
            while pattern.startswith("*", at):
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
            out.append(re.escape(pattern[at]))
            at += 1
        else:
            out.append(re.escape(char))
    return "".join(out)


def character_class(pattern: str, at: int) -> tuple[str, int]:
    """The class that begins behind `[`, and where it ends. Raises ValueError."""
    negated = pattern.startswith("^", at)
    at += negated
    members: list[str] = []
    while at < len(pattern) and (pattern[at] != "]" or not members):
        char = pattern[at]
        if char == "\\":
            at += 1
            if at == len(pattern):
                break
            members.append(re.escape(pattern[at]))
        else:
            members.append("-" if char == "-" else re.escape(char))
        at += 1
    if at >= len(pattern) or members[0] == "-" or members[-1] == "-":
        raise ValueError("a character class that does not end, or a range without ends")
    return f"[{'^' if negated else ''}{''.join(members)}]", at + 1

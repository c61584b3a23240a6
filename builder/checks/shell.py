"""The commands of a shell script, as far as rules need them: no expansion, no syntax beyond words and operators."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from builder.dockerfile import ExecForm, Run, ShellForm
from layers.quick import dataclass

_TOKEN = re.compile(
    r"""(?P<blank>(?:[ \t\r]|\\\n)+)|(?P<comment>\#[^\n]*)|(?P<operator>\|\||&&|\|&|\||;;|;|&(?!>)|\n|[()])
    |(?P<redirect>[0-9]*(?:&>>?|>>|>\||[<>]&?))
    |(?P<word>(?:\\.|'[^']*'|"(?:\\.|[^"\\])*"|\$\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)|`[^`]*`|\$\{[^}]*\}
    |[^ \t\r\n;&|<>()'"\\`])+)|(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_KEYWORDS = frozenset("then do else elif if while until ! { time exec command".split())
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
_INNER = re.compile(r"\$\((?!\()(.*)\)|`(.*)`", re.DOTALL)
_QUOTES = re.compile(r"""'([^']*)'|"((?:\\.|[^"\\])*)"|\\(.)""", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Command:
    """A simple command: its words without quotes, and whether its output goes into a pipe."""

    words: tuple[str, ...]
    piped: bool = False

    @property
    def name(self) -> str:
        """The program."""
        return self.words[0]

    @property
    def arguments(self) -> tuple[str, ...]:
        """The words behind it that are no flags."""
        return tuple(word for word in self.words[1:] if not word.startswith("-"))

    def has(self, *flags: str) -> bool:
        """Whether it is given one of these flags; one of a letter may stand among others."""
        for word in self.words[1:]:
            for flag in flags:
                if word == flag or (flag.startswith("--") and word.startswith(f"{flag}=")):
                    return True
                letters = re.match("-[A-Za-z]+", word) if len(flag) == 2 and word[:1] == "-" else None
                if letters is not None and flag[1] in letters[0]:
                    return True
        return False


def commands(run: Run) -> tuple[Command, ...]:
    """What a RUN runs."""
    form = run.command
    if isinstance(form, ExecForm):
        shell = len(form.args) == 3 and form.args[1].startswith("-") and form.args[1].endswith("c")
        return split(form.args[2]) if shell else (Command(form.args),)
    assert isinstance(form, ShellForm)
    return split(form.heredocs[0].text if form.alone and not form.shebang else "" if form.alone else form.text)


def _unquoted(quote: re.Match[str]) -> str:
    """What stands in quotes, or behind a backslash."""
    if quote[2] is not None:
        return re.sub(r'\\(["\\$`])', r"\1", quote[2])
    return quote[1] or quote[3] or ""


@lru_cache(maxsize=64)  # every rule about RUN asks
def split(script: str) -> tuple[Command, ...]:
    """The simple commands of a script, in order."""
    return tuple(_split(script))


def _split(script: str) -> Iterator[Command]:
    words: list[str] = []
    skip = False
    for found in _TOKEN.finditer(f"{script}\n"):
        kind = found.lastgroup
        if kind == "word" and (inner := _INNER.search(found[0])) is not None:
            yield from _split(inner[1] or inner[2])
        if kind == "word" and skip:
            skip = False
        elif kind == "word":
            if not words and (found[0] in _KEYWORDS or _ASSIGNMENT.match(found[0])):
                continue
            words.append(_QUOTES.sub(_unquoted, found[0]))
        elif kind == "redirect":
            skip = True
        elif kind == "operator":
            if words:
                yield Command(tuple(words), found[0] in ("|", "|&"))
            words, skip = [], False

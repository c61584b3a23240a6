"""`--chmod`: octal numbers and symbolic clauses (Dockerfile reference, "COPY --chmod"; POSIX chmod)."""

from __future__ import annotations

import re
from collections.abc import Callable

OCTAL = re.compile(r"0*[0-7]{1,4}\Z")
CLAUSE = re.compile(r"([ugoa]*)((?:[+=-](?:[ugo]|[rwxXst]*))+)\Z")
ACTION = re.compile(r"([+=-])([ugo]|[rwxXst]*)")
SHIFT = {"u": 6, "g": 3, "o": 0}
SPECIAL = {"u": 0o4000, "g": 0o2000}

Change = Callable[[int, bool], int]
"""From a mode and whether it is a directory's to the new mode."""


def parse(text: str) -> tuple[Change, bool]:
    """The change, and whether it is an absolute mode. Raises ValueError."""
    if OCTAL.match(text):
        mode = int(text, 8)
        return (lambda _, __: mode), True
    clauses = [CLAUSE.match(clause) for clause in text.split(",")]
    if not text or not all(clauses):
        raise ValueError(f"invalid chmod parameter: {text!r}; write an octal number such as 0755, or u=rwX,go=rX")
    steps = [(match[1] or "a", ACTION.findall(match[2])) for match in clauses if match]
    return (lambda mode, directory: _apply(steps, mode, directory)), False


def _apply(steps: list[tuple[str, list[tuple[str, str]]]], mode: int, directory: bool) -> int:
    original = mode
    for whose, actions in steps:
        who = "ugo" if "a" in whose else whose
        for sign, letters in actions:
            if letters in SHIFT:  # what that class may do by now, POSIX's permcopy
                letters = _letters(mode >> SHIFT[letters])
            bits = _bits(who, letters, original, directory)
            if sign == "+":
                mode |= bits
            elif sign == "-":
                mode &= ~bits
            else:
                mask = sum((0o7 << SHIFT[one]) | SPECIAL.get(one, 0) for one in who)
                mode = (mode & ~mask) | bits
    return mode


def _letters(bits: int) -> str:
    return "".join(letter for letter, bit in (("r", 4), ("w", 2), ("x", 1)) if bits & bit)


def _bits(who: str, letters: str, original: int, directory: bool) -> int:
    bits = 0
    for letter in letters:
        if letter in "rwx" or (letter == "X" and (directory or original & 0o111)):
            value = {"r": 4, "w": 2}.get(letter, 1)
            bits |= sum(value << SHIFT[one] for one in who)
        elif letter == "s":
            bits |= sum(SPECIAL.get(one, 0) for one in who)
        elif letter == "t" and who != "o":  # as chmod(1) of BSD, and so BuildKit's
            bits |= 0o1000
    return bits

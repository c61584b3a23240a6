"""Device nodes: those that stand in a sandbox, and rules of which ones it may open, whoever makes the node.

A root user with CAP_MKNOD could otherwise make the node of a host disk and read it. Making a node is allowed, since
archives hold nodes; opening one is what `runner.guard` checks.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from layers.quicktuple import NamedTuple


class Rule(NamedTuple):
    """Which nodes may, or must not, be used how: "c", "b" or "a" (both); None is every number; letters of "rwm".

    Of two rules that speak of a node the later one decides.
    """

    kind: str
    major: int | None = None
    minor: int | None = None
    access: str = "rwm"
    allow: bool = True

    @classmethod
    def parse(cls, text: str) -> Rule:
        """`c 10:200 rwm`, as --device-cgroup-rule has it. Raises ValueError."""
        words = text.split()
        numbers = words[1].split(":") if len(words) == 3 else []
        ok = len(numbers) == 2 and words[0] in ("a", "b", "c") and words[2] and not set(words[2]) - set("rwm")
        if not ok or not all(number == "*" or number.isdigit() for number in numbers):
            raise ValueError(f"{text!r} is no device rule; write for example 'c 10:200 rwm' or 'b 8:* r'")
        major, minor = (None if number == "*" else int(number) for number in numbers)
        return cls(words[0], major, minor, "".join(letter for letter in "rwm" if letter in words[2]))

    @property
    def is_whole(self) -> bool:
        """Whether it speaks of every node and every use."""
        return self[:3] == ("a", None, None) and set(self.access) == set("rwm")

    def __str__(self) -> str:
        numbers = ("*" if number is None else str(number) for number in (self.major, self.minor))
        return f"{self.kind} {':'.join(numbers)} {self.access}"


class Device(NamedTuple):
    """A node that stands in /dev at `target`, made like the host's `source`, and how it may be used."""

    source: str
    target: str
    kind: str
    major: int
    minor: int
    mode: int = 0o666
    uid: int = 0
    gid: int = 0
    access: str = "rwm"

    @classmethod
    def like(cls, source: str, target: str, access: str = "rwm") -> Device:
        """A node like the host's `source`. Raises ValueError if that is none, or if `target` is not below /dev."""
        try:
            there = os.stat(source)
        except OSError as error:
            raise ValueError(f"{source}: {error.strerror}") from None
        if not (stat.S_ISCHR(there.st_mode) or stat.S_ISBLK(there.st_mode)):
            raise ValueError(f"{source} is no device")
        place = os.path.normpath(target)
        if not place.startswith("/dev/"):
            raise ValueError(f"{target}: a device stands below /dev")
        kind = "c" if stat.S_ISCHR(there.st_mode) else "b"
        numbers = os.major(there.st_rdev), os.minor(there.st_rdev)
        return cls(source, place, kind, *numbers, stat.S_IMODE(there.st_mode), there.st_uid, there.st_gid, access)

    @property
    def rule(self) -> Rule:
        """What lets it be opened."""
        return Rule(self.kind, self.major, self.minor, self.access)


ALL = Rule("a")
HARMLESS = (
    Rule("c", access="m"),
    Rule("b", access="m"),
    *(Rule("c", 1, minor) for minor in (3, 5, 7, 8, 9)),  # null zero full random urandom
    *(Rule("c", 5, minor) for minor in (0, 1, 2)),  # tty console ptmx
    Rule("c", 136),  # pts/*
)
DEFAULT = (Rule("a", allow=False), *HARMLESS)


def allowing(more: Iterable[Rule]) -> tuple[Rule, ...]:
    """The usual rules and more that allow; `ALL` alone if that is among them."""
    rules = (*DEFAULT, *more)
    return (ALL,) if ALL in rules else rules

"""Constraints of versions, as skopeo's `images-by-semver` has them (Masterminds/semver, "Checking Versions").

`>= 1.2, < 2 || ~3.1`: alternatives of conditions that all hold. A condition that leaves parts of a version out, or
writes x or * for them, is about the parts that are there. What comes before a release fits only where one is named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from layers.quick import dataclass

NUMBERS = (
    r"v?(?P<major>{0})(?:\.(?P<minor>{0}))?(?:\.(?P<patch>{0}))?(?:-(?P<pre>[0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?"
)
VERSION = re.compile(NUMBERS.format("[0-9]+"))
CONDITION = re.compile(r"\s*(?P<sign>!=|>=|=>|<=|=<|~>|[=<>~^]|)\s*" + NUMBERS.format(r"[0-9]+|[xX*]") + r"\s*,?")
HYPHEN = re.compile(r"(\S+)\s+-\s+(\S+)")


@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """A version; `pre` are the parts of what stands behind its hyphen."""

    numbers: tuple[int, int, int]
    pre: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Version | None:
        """`1`, `v1.2`, `1.2.3-rc.1+build`; None for what is none."""
        found = VERSION.fullmatch(text)
        return None if found is None else cls.of(found)

    @classmethod
    def of(cls, found: re.Match[str]) -> Version:
        """What a pattern has found; parts that are open count as 0."""
        major, minor, patch = (int(part) if (part := found[key] or "").isdigit() else 0 for key in PARTS)
        return cls((major, minor, patch), tuple((found["pre"] or "").split(".")) if found["pre"] else ())

    @property
    def key(self) -> tuple[object, ...]:
        """By what versions are in order (semver.org, 11): numbers before words, nothing after all."""
        parts = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in self.pre]
        return (self.numbers, not parts, parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self.key == other.key

    def __lt__(self, other: Version) -> bool:
        return self.key < other.key

    __hash__ = None  # type: ignore[assignment]  # only compared


PARTS = ("major", "minor", "patch")


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison; `said` is how many parts of its version are not left open."""

    sign: str
    version: Version
    said: int

    def holds(self, met: Version) -> bool:
        """Whether a version fits."""
        exact = self.sign == "!=" and self.said == len(PARTS)
        if met.pre and not (self.version.pre or exact):
            return False
        return SIGNS[self.sign](self, met)

    def same(self, met: Version, parts: int | None = None) -> bool:
        """Whether a version is the same in the parts that are said, or in so many."""
        count = self.said if parts is None else parts
        same = met.numbers[:count] == self.version.numbers[:count]
        return same and (count < len(PARTS) or met == self.version)

    def above(self, met: Version) -> bool:
        """Whether it is beyond all that the said parts mean."""
        if self.said == len(PARTS):
            return met > self.version
        return met.numbers[: self.said] > self.version.numbers[: self.said]

    def tilde(self, met: Version) -> bool:
        """`~1.2.3`: the same but for the patch; ~0.0.0 is anything."""
        if self.version.numbers == (0, 0, 0) and self.said == len(PARTS):
            return not met < self.version
        count = min(self.said, 2)
        return not met < self.version and met.numbers[:count] == self.version.numbers[:count]

    def caret(self, met: Version) -> bool:
        """`^1.2.3`: the same up to the first number that is not 0."""
        first = next((at for at, number in enumerate(self.version.numbers[: self.said]) if number), self.said - 1)
        return not met < self.version and met.numbers[: first + 1] == self.version.numbers[: first + 1]


SIGNS: Mapping[str, Callable[[Condition, Version], bool]] = {
    "": Condition.same,
    "=": Condition.same,
    "!=": lambda one, met: not one.same(met),
    ">": Condition.above,
    "<": lambda one, met: met < one.version,
    ">=": lambda one, met: not met < one.version,
    "=>": lambda one, met: not met < one.version,
    "<=": lambda one, met: not one.above(met),
    "=<": lambda one, met: not one.above(met),
    "~": Condition.tilde,
    "~>": Condition.tilde,
    "^": Condition.caret,
}


def constraint(text: str) -> Callable[[str], bool]:
    """Whether a tag is a version that fits. Raises ValueError."""
    alternatives = [conditions(part) for part in text.split("||")]

    def fits(tag: str) -> bool:
        met = Version.parse(tag)
        return met is not None and any(all(one.holds(met) for one in several) for several in alternatives)

    return fits


def conditions(text: str) -> list[Condition]:
    """Conditions that have to hold together. Raises ValueError."""
    text = HYPHEN.sub(r">=\1 <=\2", text).strip()
    found: list[Condition] = []
    at = 0
    while at < len(text) or not found:
        part = CONDITION.match(text, at)
        if part is None:
            raise ValueError(f"{text!r} is no constraint of versions such as '>= 1.2, < 2'")
        said = next((place for place, key in enumerate(PARTS) if not (part[key] or "").isdigit()), len(PARTS))
        found.append(Condition(part["sign"] if said else ">=", Version.of(part), said))
        at = part.end()
    return found

"""`--set TARGET.KEY[.NAME]=VALUE` and the flags that stand for it (buildx, "bake --set")."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fnmatch import fnmatchcase

from layers.quick import dataclass
from pybuild.bake.errors import BakeError
from pybuild.bake.target import MAPS, ORDER, SWITCHES, TEXTS, Target, formed, merged

ALIASES = {"platform": "platforms", "secrets": "secret"}


@dataclass(frozen=True, slots=True)
class Override:
    """One `--set`: which targets, what, and whether it is added (`+=`) to what is there."""

    pattern: str
    field: str
    name: str
    value: str
    append: bool

    @classmethod
    def parse(cls, word: str) -> Override:
        """Raises BakeError."""
        key, equals, value = word.partition("=")
        append = key.endswith("+")
        pattern, _, rest = key.removesuffix("+").partition(".")
        field, _, name = rest.partition(".")
        field = ALIASES.get(field, field)
        if not equals and not (field == "args" and name):
            raise BakeError(f"--set {word}: write TARGET.KEY=VALUE")
        if field not in ORDER:
            raise BakeError(f"--set {word}: there is no key {field!r}; there are {', '.join(sorted(ORDER))}")
        if (field in MAPS) != bool(name):
            raise BakeError(f"--set {word}: write {field}{'' if name else '.NAME'}=VALUE")
        if not equals:
            value = os.environ.get(name, "")
        return cls(pattern, field, name, value, append)


def matching(overrides: Sequence[Override], known: Sequence[str]) -> dict[str, list[Override]]:
    """The overrides of each target. Raises BakeError for one that no target has."""
    found: dict[str, list[Override]] = {}
    for one in overrides:
        names = [name for name in known if fnmatchcase(name, one.pattern)]
        if not names:
            raise BakeError(f"--set {one.pattern}.{one.field}: could not find any target matching '{one.pattern}'")
        for name in names:
            found.setdefault(name, []).append(one)
    return found


def overridden(target: Target, overrides: Sequence[Override]) -> Target:
    """A target with what `--set` says of it. Raises BakeError."""
    lists: dict[str, list[Override]] = {}
    for one in overrides:
        try:
            if one.field in MAPS:
                target = merged(target, {one.field: {one.name: one.value}})
            elif one.field in SWITCHES or one.field in TEXTS:
                target = merged(target, {one.field: formed(one.field, one.value)})
            else:
                lists.setdefault(one.field, []).append(one)
        except ValueError as error:
            raise BakeError(f"--set {one.pattern}.{one.field}: {error}") from error
    for field, given in lists.items():
        try:
            values = formed(field, [one.value for one in given])
        except ValueError as error:
            raise BakeError(f"--set {given[0].pattern}.{field}: {error}") from error
        keep = any(one.append for one in given) or field in ADDED
        target = {**target, field: [*(target.get(field) or ()), *values] if keep else values}
    return target


ADDED = ("annotations", "attest")

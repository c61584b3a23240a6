"""`--filter KEY=VALUE` of docker's lists."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from fnmatch import fnmatchcase

import click

from pybuild.units import truth


def parse(filters: Iterable[str], known: Collection[str]) -> dict[str, list[str]]:
    """Filters by key. Raises click.UsageError for a key that the list does not have."""
    found: dict[str, list[str]] = {}
    for item in filters:
        key, equals, value = item.partition("=")
        if not equals or key not in known:
            raise click.UsageError(f"invalid filter {item!r}: write KEY=VALUE with a KEY of {', '.join(sorted(known))}")
        found.setdefault(key, []).append(value)
    return found


def labelled(labels: Mapping[str, str], wanted: Iterable[str]) -> bool:
    """True if every `key` or `key=value` is among the labels."""
    for item in wanted:
        key, equals, value = item.partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    return True


def fits(
    rules: Mapping[str, Iterable[str]],
    labels: Mapping[str, str],
    matches: Callable[[str, str], bool] = lambda key, value: True,
) -> bool:
    """True if something with these labels has all that `label` and nothing that `label!` names, and one value of each
    other key of the rules fits it, which `matches` knows by key and value.
    """
    return all(
        labelled(labels, values)
        if key == "label"
        else not any(labelled(labels, [value]) for value in values)
        if key == "label!"
        else any(matches(key, value) for value in values)
        for key, values in rules.items()
    )


def named(name: str, pattern: str) -> bool:
    """True if docker's filter of names means this one: a regular expression that is found in it."""
    try:
        return re.search(pattern, name) is not None
    except re.error:
        return pattern in name


def boolean(text: str) -> bool:
    """`true`, `false`, `1`, `0`. Raises click.UsageError."""
    if (found := truth(text)) is None:
        raise click.UsageError(f"{text!r} is neither true nor false")
    return found


def globbed(name: str, patterns: Iterable[str]) -> bool:
    """True if a name, or its end after a slash, fits one of the patterns."""
    return any(fnmatchcase(name, pattern) or fnmatchcase(name.rpartition("/")[2], pattern) for pattern in patterns)

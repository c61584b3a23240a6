"""`--filter KEY=VALUE` of docker's lists."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase

import click


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


def boolean(text: str) -> bool:
    """`true`, `false`, `1`, `0`. Raises click.UsageError."""
    if text.lower() not in ("true", "false", "1", "0"):
        raise click.UsageError(f"{text!r} is neither true nor false")
    return text.lower() in ("true", "1")


def globbed(name: str, patterns: Iterable[str]) -> bool:
    """True if a name, or its end after a slash, fits one of the patterns."""
    return any(fnmatchcase(name, pattern) or fnmatchcase(name.rpartition("/")[2], pattern) for pattern in patterns)

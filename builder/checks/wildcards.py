"""Whether a source of COPY has anything to copy."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from builder.contexts.ignore import Ignore, translate


def matches(directory: Path, ignore: Ignore | None, pattern: str, *, parents: bool = False) -> bool:
    """Whether anything of a context that is not ignored matches; True for what is no pattern (told elsewhere).

    With `parents` what stands behind `/./`, or all of it, is looked for at any depth, and follows no links.
    """
    start, pivot, rest = pattern.partition("/./") if parents else (pattern, "", "")
    if parents and not pivot:
        start, rest = "", pattern
    try:
        wanted = [re.compile(translate(part.replace("**", "*")), re.DOTALL) for part in _parts(start)]
        inside = re.compile(translate("/".join(_parts(rest))), re.DOTALL)
    except (ValueError, re.error):
        return True
    found = [""]
    for regex in wanted:
        below: list[str] = []
        for place in found:
            with suppress(OSError):
                names = os.listdir(directory / place)
                below += [f"{place}/{name}".lstrip("/") for name in names if regex.fullmatch(name)]
        found = below
    if parents:
        deep = (f"{place}/{name}".lstrip("/") for place in found for name in _walk(directory / place, inside))
        return any(_seen(ignore, place) for place in deep)
    return any(_seen(ignore, place) for place in found)


def _parts(pattern: str) -> list[str]:
    return [part for part in pattern.split("/") if part not in ("", ".")]


def _walk(top: Path, wanted: re.Pattern[str]) -> Iterator[str]:
    for folder, folders, names in os.walk(top):
        for name in (*folders, *names):
            if wanted.fullmatch(path := os.path.relpath(os.path.join(folder, name), top)):
                yield path


def _seen(ignore: Ignore | None, place: str) -> bool:
    return ignore is None or not ignore.ignores(place) or ignore.may_keep_below(place)

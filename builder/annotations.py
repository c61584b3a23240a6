"""Annotations and where they belong: `[LEVEL,...[PLATFORM]:]KEY`, in buildx's words.

Without a level they are the manifest's. `manifest-descriptor` is the entry of an index, or of index.json, that points
to a manifest; `index-descriptor` the entry of index.json that points to the index.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from layers import DocumentInvalid, Platform

LEVELS = ("manifest", "index", "manifest-descriptor", "index-descriptor")
SCOPED = r"(?P<levels>[a-z,-]+)(?:\[(?P<platform>[^]]*)\])?:(?P<key>.+)"


def scoped(text: str) -> tuple[tuple[str, ...], Platform | None, str]:
    """The levels, the platform (None: all) and the key that a text means. Raises ValueError."""
    match = re.fullmatch(SCOPED, text, re.DOTALL)
    if match is None:
        return ("manifest",), None, text
    levels, platform, key = tuple(match["levels"].split(",")), match["platform"], match["key"]
    if unknown := set(levels) - set(LEVELS):
        raise ValueError(f"annotation {text!r}: {min(unknown)!r} is no level; there are {', '.join(LEVELS)}")
    if platform is None:
        return levels, None, key
    if any(level.startswith("index") for level in levels):
        raise ValueError(f"annotation {text!r}: an index is of all platforms")
    try:
        return levels, Platform.parse(platform), key
    except DocumentInvalid as error:
        raise ValueError(f"annotation {text!r}: {error}") from error


def of(annotations: Mapping[str, str], level: str, platform: Platform | None = None) -> dict[str, str]:
    """Those of one level, and of one platform where there is one."""
    found = {}
    for text, value in annotations.items():
        levels, wanted, key = scoped(text)
        if level in levels and (wanted is None or wanted == platform):
            found[key] = value
    return found

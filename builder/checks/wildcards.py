"""Whether a wildcard of COPY has anything to copy."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from builder.ignore import Ignore, translate


def matches(directory: Path, ignore: Ignore | None, pattern: str) -> bool:
    """Whether anything of a context that is not ignored matches; True for what is no pattern (told elsewhere)."""
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    try:
        wanted = [re.compile(translate(part.replace("**", "*")), re.DOTALL) for part in parts]
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
    return any(ignore is None or not ignore.ignores(place) or ignore.may_keep_below(place) for place in found)

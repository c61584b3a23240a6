"""Paths of images in lines of text: whatever bytes a name has, it stays one line and moves no cursor.

A path with control characters, or that is no UTF-8, is quoted as git quotes (git-config(1), core.quotePath); paths that
are shown begin with a slash otherwise, so the two cannot be taken for each other.
"""

from __future__ import annotations

import re

_ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LETTERS = {"\a": "\\a", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\v": "\\v", "\f": "\\f", "\r": "\\r"}


def shown(path: str) -> str:
    """A path as one line of text: as it is, or in quotes."""
    return quoted(path) if _ODD.search(path) else path


def quoted(path: str) -> str:
    """A path in quotes, every odd byte escaped."""
    text = path.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_ODD.sub(_escape, text)}"'


def _escape(found: re.Match[str]) -> str:
    return _LETTERS.get(found[0]) or "".join(f"\\{byte:03o}" for byte in found[0].encode("utf-8", "surrogateescape"))

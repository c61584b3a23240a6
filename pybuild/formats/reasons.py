"""Why two things at one path differ, in words: old -> new."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pybuild import units
from pybuild.formats.names import shown

if TYPE_CHECKING:
    from layers import Entry
    from layers.views.files import Files
    from layers.views.treediff import Difference

FAR = 253_402_300_800 * 10**9
"""The year 10000, which datetime does not reach."""


def words(one: Difference, before: Files, after: Files) -> dict[str, str]:
    """Each reason of a modified path with what it was and what it is."""
    from layers.views.treediff import Reason

    old, new = one.old, one.new
    if old is None or new is None:
        return {}
    told = {}
    for reason in one.reasons:
        if reason is Reason.CONTENT:
            pair = (units.size(old.size), units.size(new.size))
            if pair[0] == pair[1]:
                pair = (f"{old.size} bytes", f"{new.size} bytes")
            if old.size == new.size:
                pair = (digest(before, old), digest(after, new))
        elif reason is Reason.TYPE:
            pair = (kind(old), kind(new))
        elif reason is Reason.LINK:
            pair = (shown(old.linkname), shown(new.linkname))
        elif reason is Reason.MODE:
            pair = (f"{old.mode:04o}", f"{new.mode:04o}")
        elif reason is Reason.OWNER:
            pair = (f"{old.uid}:{old.gid}", f"{new.uid}:{new.gid}")
        elif reason is Reason.XATTR:
            pair = attributes(old.xattrs, new.xattrs)
        else:
            pair = (time(old.mtime_ns), time(new.mtime_ns))
        told[str(reason.value)] = f"{pair[0]} -> {pair[1]}"
    return told


def kind(entry: Entry) -> str:
    """`file`, `dir`, or `char 1:3` for devices."""
    device = f" {entry.major}:{entry.minor}" if entry.type.value in ("char", "block") else ""
    return f"{entry.type.value}{device}"


def digest(files: Files, entry: Entry) -> str:
    """The beginning of the digest of what a file holds."""
    with files.open(entry.path) as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()[:12]  # type: ignore[arg-type]


def attributes(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> tuple[str, str]:
    """The attributes that are not the same on both sides."""
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    sides = [
        ", ".join(f"{shown(name)}={side[name].hex() or 'empty'}" for name in names if name in side) or "none"
        for side in (old, new)
    ]
    return sides[0], sides[1]


def time(nanoseconds: int) -> str:
    """A time of a file in UTC, with as many digits as it has."""
    seconds, rest = divmod(nanoseconds, 10**9)
    if not -62_135_596_800 * 10**9 <= nanoseconds < FAR:
        return f"@{seconds}"
    fraction = f".{rest:09}".rstrip("0") if rest else ""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"

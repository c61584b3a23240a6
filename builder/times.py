"""What times the files of new layers get, and the image: by default such as follow from what a step is made of.

Then the same inputs make the same bytes on another machine, on another day, in another directory (docs/adr/0013).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from math import ceil
from typing import TYPE_CHECKING

from layers import Entry, EntryType
from layers.oci.documents import timestamp
from layers.quick import dataclass, replace
from layers.tar.entry import SECOND, whole_seconds
from layers.views.changes import ChangeKind

if TYPE_CHECKING:
    from builder.graph import BaseImage
    from builder.request import BuildRequest
    from layers import Tree
    from layers.tar.toc import Toc
    from layers.views.changes import Change

NAME = "SOURCE_DATE_EPOCH"
"""What compilers, packagers and archivers go by (reproducible-builds.org/specs/source-date-epoch)."""
MAX_EPOCH = 253_402_300_799
"""The last second of the year 9999: beyond it no timestamp can be written."""
SPREAD = 1 << 20
"""Seconds, twelve days: so far before the image's time lie those of files that are copied from a context."""
EARLIEST = 315_619_200 + SPREAD
"""Seconds since 1970 for what stands on nothing, so that all its files are of 1980 or later: zip knows no other."""
INPUTS = "inputs"
DIGITS, NOTHING = 8, "0"
"""Of a digest, that decide a time."""


@dataclass(frozen=True, slots=True)
class Times:
    """`epoch` is seconds since 1970: nothing in a layer is younger, and with `every` nothing is older either.

    With `inputs` it is the time of what lies below, and what a directory said of the files of a context counts for
    nothing: it is no input of theirs.
    """

    epoch: int
    every: bool = False
    inputs: bool = False

    def of(self, entry: Entry) -> Entry:
        """An entry with its time; a deletion has none."""
        if entry.type in (EntryType.WHITEOUT, EntryType.OPAQUE):
            return entry
        return dated(entry, self.at(entry.mtime_ns))

    def at(self, mtime_ns: int) -> int:
        """What a time, in nanoseconds since 1970, becomes."""
        limit = self.epoch * SECOND
        return limit if self.every else min(mtime_ns, limit)

    def kept(self, mtime_ns: int) -> int:
        """What a time becomes that is an input itself, in an archive or an image: the same, unless asked for."""
        return mtime_ns if self.inputs else self.at(mtime_ns)

    def copied(self, mtime_ns: int, content: str = "") -> int:
        """What the time of something in a context becomes; `content` is the digest of what a file holds.

        Another content has another time: servers and browsers know by it that a file has changed.
        """
        return self.all_copied([mtime_ns], [content or NOTHING])[0]

    def all_copied(self, mtimes_ns: Iterable[int], contents: Iterable[str]) -> list[int]:
        """The same of many files."""
        if not self.inputs:
            return list(map(self.at, mtimes_ns))
        epoch = self.epoch
        return [(epoch - int(content[:DIGITS], 16) % SPREAD) * SECOND for content in contents]

    def __str__(self) -> str:
        """What of it decides a result, for cache keys."""
        return f"{'all' if self.every else INPUTS if self.inputs else 'until'} {self.epoch}"

    @classmethod
    def parse(cls, text: str) -> Times | None:
        """What `str` gave, None for nothing."""
        word, _, epoch = text.partition(" ")
        return cls(int(epoch), every=word == "all", inputs=word == INPUTS) if epoch else None


def worded(times: Times | None) -> str:
    """Times as text for keys and records, "" for none; `Times.parse` reads it again."""
    return "" if times is None else str(times)


def times_for(request: BuildRequest, created: str) -> Times | None:
    """Of a step over something of that time (RFC 3339); None if files keep what they have."""
    if request.times is not None or request.epoch is not None or request.clock:
        return request.times
    return _inputs(created)


@lru_cache(16)
def _inputs(created: str) -> Times:
    return Times(seconds(created), inputs=True)


def now(request: BuildRequest) -> str:
    """The time of what stands on nothing, as RFC 3339."""
    if request.epoch is None and request.clock:
        return timestamp(datetime.now(UTC))
    return text(EARLIEST if request.epoch is None else request.epoch)


def time_of(request: BuildRequest, base: BaseImage | None) -> str:
    """The time of an image that is built upon, if it says one of use; else that of what stands on nothing."""
    known = seconds(base.config.created or "") if base is not None else -1
    return text(known) if known >= EARLIEST else now(request)


def after(created: str, toc: Toc) -> str:
    """The time of a layer over what is of the time `created`: the same, or if later that of its youngest file."""
    from layers.tar.toc import TIME

    youngest = max((row[TIME] for row in toc.rows), default=0) // SECOND
    return created if youngest <= seconds(created) else text(youngest)


def text(epoch: int) -> str:
    """RFC 3339 of seconds since 1970; of what lies behind its last year, that year's end."""
    return timestamp(datetime.fromtimestamp(min(epoch, MAX_EPOCH), UTC))


def seconds(created: str) -> int:
    """Seconds since 1970 of RFC 3339, those begun counted, too; -1 if it is none."""
    try:
        moment = datetime.fromisoformat(created)
        return ceil((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return -1


@dataclass(frozen=True, slots=True)
class Stamp:
    """Gives times to what a command changed; `below` has those that it saw, `told` those that the layers say."""

    times: Times
    below: Tree
    told: Tree

    def __call__(self, change: Change) -> Entry:
        """The entry of a change with its time; what was not touched keeps that of the layer where it comes from."""
        entry = change.entry
        if change.kind is ChangeKind.MODIFIED and (old := self.below.get(entry.path)) is not None:
            same = old.type is entry.type and whole_seconds(old.mtime_ns) == entry.mtime_ns
            if same and (known := self.told.get(entry.path)) is not None:
                entry = dated(entry, whole_seconds(known.mtime_ns))
                return entry if self.times.inputs else self.times.of(entry)
        return self.times.of(entry)


def dated(entry: Entry, mtime_ns: int) -> Entry:
    """An entry with another time."""
    return entry if mtime_ns == entry.mtime_ns else replace(entry, mtime_ns=mtime_ns)


def stamped(times: Times | None, entries: list[Entry]) -> list[Entry]:
    """Entries with the times that they are to have."""
    return entries if times is None else [times.of(entry) for entry in entries]

"""What times the files of new layers get, so that the same inputs make the same bytes on another day."""

from __future__ import annotations

from layers import Entry, EntryType
from layers.quick import dataclass, replace


@dataclass(frozen=True, slots=True)
class Times:
    """`epoch` is seconds since 1970: nothing in a layer is younger, and with `every` nothing is older either."""

    epoch: int
    every: bool = False

    def of(self, entry: Entry) -> Entry:
        """An entry with its time; a deletion has none."""
        if entry.type in (EntryType.WHITEOUT, EntryType.OPAQUE):
            return entry
        mtime_ns = self.at(entry.mtime_ns)
        return entry if mtime_ns == entry.mtime_ns else replace(entry, mtime_ns=mtime_ns)

    def at(self, mtime_ns: int) -> int:
        """What a time, in nanoseconds since 1970, becomes."""
        limit = self.epoch * 1_000_000_000
        return limit if self.every else min(mtime_ns, limit)

    def __str__(self) -> str:
        """What of it decides a result, for cache keys."""
        return f"{'all' if self.every else 'until'} {self.epoch}"

    @classmethod
    def parse(cls, text: str) -> Times | None:
        """What `str` gave, None for nothing."""
        word, _, epoch = text.partition(" ")
        return cls(int(epoch), every=word == "all") if epoch else None


def stamped(times: Times | None, entries: list[Entry]) -> list[Entry]:
    """Entries with the times that they are to have."""
    return entries if times is None else [times.of(entry) for entry in entries]

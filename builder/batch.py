"""Plain files that stand next to each other in a directory of a context, as columns.

Contexts have ten thousands of them, and a value for each would take longer to make than to read the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from os import stat_result

from layers import Entry, EntryType
from layers.quick import dataclass
from layers.tar.entry import whole_seconds

HEX = 64
"""Digits of a digest."""
UNKNOWN = "-" * HEX
"""Stands for the digest of what was not looked at."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Regular files with one name each, in canonical order: nothing else of their directory stands between them.

    `contents` has the digests of all, one behind the other; `relative` is their directory's place below what is copied.
    """

    folder: str
    names: Sequence[str]
    statuses: Sequence[stat_result]
    contents: str
    relative: str = ""

    def __len__(self) -> int:
        return len(self.names)

    def content(self, at: int) -> str:
        """The digest of one file."""
        return self.contents[HEX * at : HEX * at + HEX]

    def modes(self) -> list[int]:
        """Their permissions."""
        return [status.st_mode & 0o7777 for status in self.statuses]

    def sizes(self) -> list[int]:
        """Their bytes."""
        return [status.st_size for status in self.statuses]

    def entries(self) -> Iterator[tuple[str, Entry, str]]:
        """Each as a value: its path in the context, its entry, its digest."""
        prefix = f"{self.folder}/" if self.folder else ""
        for at, (name, status) in enumerate(zip(self.names, self.statuses, strict=True)):
            yield prefix + name, plain(prefix + name, status), self.content(at)


def plain(path: str, status: stat_result) -> Entry:
    """The entry of a regular file; owners become 0:0, as with docker."""
    mtime_ns = whole_seconds(status.st_mtime_ns)
    return Entry(path, EntryType.FILE, status.st_mode & 0o7777, 0, 0, status.st_size, mtime_ns)

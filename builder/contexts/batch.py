"""Plain files that stand next to each other in a directory of a context, as columns.

Contexts have ten thousands of them, and a value for each would take longer to make than to read the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from layers import Entry, EntryType
from layers.disk.paths import encode
from layers.disk.stats import Stats, Status
from layers.quick import dataclass
from layers.tar.entry import whole_seconds

HEX = 64
"""Digits of a digest."""
Inode = tuple[int, int]
"""A device and a number on it: what all names of a file have in common."""
UNKNOWN = "-" * HEX
"""Stands for the digest of what was not looked at."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Regular files in canonical order: nothing else of their directory stands between them.

    `contents` has the digests of all, one behind the other; `relative` is their directory's place below what is copied.
    """

    folder: str
    names: Sequence[str]
    stats: Stats
    contents: str
    relative: str = ""

    def __len__(self) -> int:
        return len(self.names)

    def digest(self) -> str:
        """Of names, modes, sizes and contents."""
        names = encode("/".join(self.names))
        columns = (names, self.stats.packed("mode"), self.stats.packed("size"), self.contents.encode())
        return hashlib.sha256(b"/".join(columns)).hexdigest()

    def linked(self) -> list[tuple[int, Inode]]:
        """Those that have more names, by number, with what these have in common."""
        links = self.stats.column("nlink")
        if max(links) == 1:
            return []
        rows = zip(links, self.stats.column("dev"), self.stats.column("ino"), strict=True)
        return [(at, (device, inode)) for at, (count, device, inode) in enumerate(rows) if count > 1]

    def content(self, at: int) -> str:
        """The digest of one file."""
        return self.contents[HEX * at : HEX * at + HEX]

    def modes(self) -> list[int]:
        """Their permissions."""
        return [mode & 0o7777 for mode in self.stats.column("mode")]

    def sizes(self) -> list[int]:
        """Their bytes."""
        return self.stats.column("size").tolist()

    def entries(self) -> Iterator[tuple[str, Entry, str, Inode | None]]:
        """Each as a value: its path in the context, its entry, its digest, and what its names have in common."""
        prefix, linked = f"{self.folder}/" if self.folder else "", dict(self.linked())
        for at, name in enumerate(self.names):
            yield prefix + name, plain(prefix + name, self.stats[at]), self.content(at), linked.get(at)


def plain(path: str, status: Status) -> Entry:
    """The entry of a regular file; owners become 0:0, as with docker."""
    mtime_ns = whole_seconds(status.mtime_ns)
    return Entry(path, EntryType.FILE, status.mode & 0o7777, 0, 0, status.size, mtime_ns)

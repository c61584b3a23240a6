"""Plain files of one directory on the disk that stand next to each other in a layer, as columns.

There may be ten thousands of them, and a value for each would take longer to make than to read the file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from layers.disk.paths import Root
from layers.disk.stats import Stats
from layers.quick import dataclass, replace
from layers.tar.entry import Entry, EntryType


@dataclass(frozen=True, slots=True)
class PlainFiles:
    """Regular files, no two of them one, in canonical order. `prefix` is their directory in the layer, with its slash.

    `stats` are from when they were looked at; `folder` is their directory below `root`.
    """

    prefix: str
    names: Sequence[str]
    stats: Stats
    modes: Sequence[int]
    mtimes_ns: Sequence[int]
    uid: int
    gid: int
    root: Root
    folder: str

    def __len__(self) -> int:
        return len(self.names)

    def part(self, start: int, end: int) -> PlainFiles:
        """Some of them."""
        if end - start == len(self):
            return self
        return replace(
            self,
            names=self.names[start:end],
            stats=self.stats.part(start, end),
            modes=self.modes[start:end],
            mtimes_ns=self.mtimes_ns[start:end],
        )

    def open_folder(self) -> int:
        """A descriptor of their directory, to which no symlink leads. Raises OSError."""
        return self.root.open(self.folder or ".", os.O_PATH | os.O_DIRECTORY, follow=False)

    def sizes(self) -> list[int]:
        """Their bytes."""
        return self.stats.column("size").tolist()

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return sum(self.sizes())

    def entry(self, at: int, xattrs: Mapping[str, bytes]) -> Entry:
        """One as a value."""
        return Entry(
            self.prefix + self.names[at],
            EntryType.FILE,
            self.modes[at],
            self.uid,
            self.gid,
            self.stats[at].size,
            self.mtimes_ns[at],
            xattrs=xattrs,
        )

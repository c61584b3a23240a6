"""Plain files of one directory on the disk that stand next to each other in a layer, as columns.

There may be ten thousands of them, and a value for each would take longer to make than to read the file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from layers.quick import dataclass
from layers.tar.entry import Entry, EntryType


@dataclass(frozen=True, slots=True)
class PlainFiles:
    """Regular files with one name each, in canonical order. `prefix` is their directory in the layer, with its slash.

    `statuses` are what lstat(2) said when they were looked at; `open_folder` gives a descriptor of their directory.
    """

    prefix: str
    names: Sequence[str]
    statuses: Sequence[os.stat_result]
    modes: Sequence[int]
    mtimes_ns: Sequence[int]
    uid: int
    gid: int
    open_folder: Callable[[], int]

    def __len__(self) -> int:
        return len(self.names)

    def part(self, start: int, end: int) -> PlainFiles:
        """Some of them."""
        if end - start == len(self):
            return self
        return replace(
            self,
            names=self.names[start:end],
            statuses=self.statuses[start:end],
            modes=self.modes[start:end],
            mtimes_ns=self.mtimes_ns[start:end],
        )

    def sizes(self) -> list[int]:
        """Their bytes."""
        return [status.st_size for status in self.statuses]

    def entry(self, at: int, xattrs: Mapping[str, bytes]) -> Entry:
        """One as a value."""
        return Entry(
            self.prefix + self.names[at],
            EntryType.FILE,
            self.modes[at],
            self.uid,
            self.gid,
            self.statuses[at].st_size,
            self.mtimes_ns[at],
            xattrs=xattrs,
        )


def same(one: os.stat_result, two: os.stat_result) -> bool:
    """True if a file was not written to, whatever happened to its names: those change st_ctime alone."""
    return (
        one.st_ino == two.st_ino
        and one.st_size == two.st_size
        and one.st_mtime_ns == two.st_mtime_ns
        and one.st_mode == two.st_mode
        and one.st_dev == two.st_dev
        and one.st_uid == two.st_uid
        and one.st_gid == two.st_gid
    )

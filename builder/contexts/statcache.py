"""Digests of files that were read before, which hold for as long as lstat(2) says the same of the file.

Kept as one record of a store, in columns: there may be ten thousands of rows, every build begins with reading them, and
mostly nothing has changed, which is seen by comparing the columns of a whole directory.
"""

from __future__ import annotations

import sys
import threading
from array import array
from base64 import b64decode, b64encode
from collections.abc import Container, Mapping, Sequence
from functools import cached_property
from typing import Any

from builder.contexts.batch import HEX, UNKNOWN
from layers.disk.stats import Stats, Status

RACY = 50_000_000
"""Nanoseconds: a file that changed this shortly before it was read may change again within one tick of its clock."""
STAMP = 4
READ = 1 << 14
"""Bytes that are read and hashed in the time that it takes to open a file."""
WORTH = 32
"""Rows that are kept in the time that it takes to open a file, and more: keeping waits for the disk, too."""
NEVER = array("q", bytes(8 * STAMP))
"""The stamp of no file."""


class Rows:
    """A name, a stamp and a digest in each."""

    def __init__(self, names: list[str], stamps: array[int], digests: bytearray) -> None:
        self.names = names
        self.stamps = stamps
        self.digests = digests

    @cached_property
    def at(self) -> dict[str, int]:
        """The row of a name."""
        return {name: row for row, name in enumerate(self.names)}

    def find(self, name: str, status: Status) -> str | None:
        """The digest of a file that is as it was when it was read."""
        row = self.at.get(name)
        if row is None or tuple(self.stamps[row * STAMP : row * STAMP + STAMP]) != stamp(status):
            return None
        return self.digest(row)

    def digest(self, row: int) -> str:
        """The digest in a row."""
        return self.digests[row * HEX : row * HEX + HEX].decode()

    def put(self, name: str, stamp: array[int], digest: str) -> None:
        """Add a row, or say something else in it."""
        row = self.at.setdefault(name, len(self.names))
        if row == len(self.names):
            self.names.append(name)
        self.stamps[row * STAMP : row * STAMP + STAMP] = stamp
        self.digests[row * HEX : row * HEX + HEX] = digest.encode()


class StatCache:
    """What is known of the files of one directory, by path.

    Plain files are looked at a directory at a time, and have rows for themselves there; all else is looked at alone.
    """

    def __init__(self) -> None:
        self._alone = Rows([], array("q"), bytearray())
        self._heads: set[str] = set()
        """Directories of what was looked at alone."""
        self._folders: dict[str, Rows] = {}
        self._turn = threading.Lock()
        self._news = 0

    def grown(self) -> bool:
        """Whether so much is new that to keep it takes less than to read it again."""
        rows = len(self._alone.names) + sum(len(one.names) for one in self._folders.values())
        return self._news * WORTH > rows

    def find(self, path: str, status: Status) -> str | None:
        """The digest of a file that is as it was when it was read."""
        found = self._alone.find(path, status)
        if found is None:
            head, _, name = path.rpartition("/")
            rows = self._folders.get(head)
            found = None if rows is None else rows.find(name, status)
        return found

    def note(self, path: str, status: Status, began_ns: int, digest: str) -> None:
        """Remember what was read from `began_ns` on, unless the file had changed just before."""
        if began_ns - max(status.mtime_ns, status.ctime_ns) > RACY:
            with self._turn:
                self._alone.put(path, array("q", stamp(status)), digest)
                self._heads.add(path.rpartition("/")[0])
                self._news += 1 + status.size // READ

    def find_all(self, folder: str, names: Sequence[str], stats: Stats) -> str:
        """The digests of plain files in a directory, one behind the other; UNKNOWN for one that has to be read."""
        rows = self._folders.get(folder)
        if rows is not None and rows.stamps == stamps(stats) and rows.names == names:
            return rows.digests.decode()
        if rows is None and folder not in self._heads:
            return UNKNOWN * len(names)
        prefix = f"{folder}/" if folder else ""
        return "".join(self.find(prefix + name, stats[at]) or UNKNOWN for at, name in enumerate(names))

    def note_all(  # noqa: PLR0917
        self, folder: str, names: Sequence[str], stats: Stats, began_ns: int, digests: str, there: Container[str]
    ) -> None:
        """Remember plain files that were read from `began_ns` on; of others in that directory what is still `there`."""
        rows = Rows(list(names), stamps(stats), bytearray(digests.encode()))
        known, sizes, news = self.find_all(folder, names, stats), stats.column("size"), 0
        for row, changed in enumerate(zip(stats.column("mtime_ns"), stats.column("ctime_ns"), strict=True)):
            if began_ns - max(changed) <= RACY:
                rows.stamps[row * STAMP : row * STAMP + STAMP] = NEVER
            elif known[row * HEX : row * HEX + HEX] == UNKNOWN:
                news += 1 + sizes[row] // READ
        with self._turn:
            if (old := self._folders.get(folder)) is not None:
                for name, row in old.at.items():
                    if name not in rows.at and name in there:
                        rows.put(name, old.stamps[row * STAMP : row * STAMP + STAMP], old.digest(row))
            self._folders[folder] = rows
            self._news += news

    def dump(self) -> dict[str, str]:
        """All rows as a small JSON object; `//` and NUL, which no path contains, tell them apart."""
        rows = (self._alone, *self._folders.values())
        stamps = array("q", b"".join(one.stamps.tobytes() for one in rows))
        if sys.byteorder == "big":
            stamps.byteswap()
        return {
            "paths": "//".join(self._alone.names),
            "folders": "\0".join(self._folders),
            "names": "\0".join("//".join(one.names) for one in self._folders.values()),
            "stamps": b64encode(stamps.tobytes()).decode(),
            "digests": b"".join(one.digests for one in rows).decode(),
        }

    @classmethod
    def load(cls, packed: Mapping[str, Any]) -> StatCache:
        """What `dump` gave; nothing, if that was of an earlier form."""
        cache = cls()
        if "folders" not in packed:
            return cache
        stamps = array("q", b64decode(packed["stamps"]))
        if sys.byteorder == "big":
            stamps.byteswap()
        digests = packed["digests"].encode()
        done = 0

        def rows(names: str, *, empty: bool) -> Rows:
            nonlocal done
            listed = [] if empty else names.split("//")
            began, done = done, done + len(listed)
            return Rows(listed, stamps[began * STAMP : done * STAMP], bytearray(digests[began * HEX : done * HEX]))

        names = packed["names"].split("\0") if packed["names"] else []
        alone = len(digests) // HEX - sum(one.count("//") + 1 for one in names)
        cache._alone = rows(packed["paths"], empty=not alone)
        cache._heads = {path.rpartition("/")[0] for path in cache._alone.names}
        if names:
            for folder, inside in zip(packed["folders"].split("\0"), names, strict=True):
                cache._folders[folder] = rows(inside, empty=False)
        return cache


def stamp(status: Status) -> tuple[int, int, int, int]:
    """What changes when a file does."""
    return status.ino, status.size, status.mtime_ns, status.ctime_ns


def stamps(stats: Stats) -> array[int]:
    """The same of many, one behind the other."""
    found = array("q", bytes(8 * STAMP * len(stats)))
    for at, name in enumerate(("ino", "size", "mtime_ns", "ctime_ns")):
        found[at::STAMP] = stats.column(name)
    return found

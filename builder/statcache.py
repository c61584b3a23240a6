"""Digests of files that were read before, which hold for as long as lstat(2) says the same of the file.

Kept as one record of a store, in columns: there may be ten thousands of rows, and every build begins with reading them.
"""

from __future__ import annotations

import sys
from array import array
from base64 import b64decode, b64encode
from collections.abc import Mapping
from os import stat_result
from typing import Any

RACY = 50_000_000
"""Nanoseconds: a file that changed this shortly before it was read may change again within one tick of its clock."""
HEX = 64
STAMP = 4


class StatCache:
    """What is known of the files of one directory, by path. `grown` tells whether there is anything new to keep."""

    def __init__(self) -> None:
        self._at: dict[str, int] = {}
        self._stamps = array("q")
        self._digests = bytearray()
        self.grown = False

    def find(self, path: str, status: stat_result) -> str | None:
        """The digest of a file that is as it was when it was read."""
        row = self._at.get(path)
        if row is None:
            return None
        at = row * STAMP
        stamps = self._stamps
        if (
            stamps[at + 2] == status.st_mtime_ns
            and stamps[at + 3] == status.st_ctime_ns
            and stamps[at + 1] == status.st_size
            and stamps[at] == status.st_ino
        ):
            return self._digests[row * HEX : row * HEX + HEX].decode()
        return None

    def note(self, path: str, status: stat_result, began_ns: int, digest: str) -> None:
        """Remember what was read from `began_ns` on, unless the file had changed just before."""
        if began_ns - max(status.st_mtime_ns, status.st_ctime_ns) <= RACY:
            return
        try:
            new = array("q", stamp(status))
        except OverflowError:  # an inode number of the upper half: read again next time
            return
        row = self._at.setdefault(path, len(self._at))
        self._stamps[row * STAMP : row * STAMP + STAMP] = new
        self._digests[row * HEX : row * HEX + HEX] = digest.encode()
        self.grown = True

    def dump(self) -> dict[str, str]:
        """All rows as a small JSON object; paths are told apart by `//`, which none of them can contain."""
        stamps = self._stamps[:]
        if sys.byteorder == "big":
            stamps.byteswap()
        return {
            "paths": "//".join(self._at),
            "stamps": b64encode(stamps.tobytes()).decode(),
            "digests": self._digests.decode(),
        }

    @classmethod
    def load(cls, packed: Mapping[str, Any]) -> StatCache:
        """What `dump` gave; nothing, if that was of an earlier form."""
        cache = cls()
        if "stamps" not in packed:
            return cache
        paths = packed["paths"].split("//") if packed["digests"] else []
        cache._at = dict(zip(paths, range(len(paths)), strict=True))
        cache._stamps.frombytes(b64decode(packed["stamps"]))
        if sys.byteorder == "big":
            cache._stamps.byteswap()
        cache._digests += packed["digests"].encode()
        return cache


def stamp(status: stat_result) -> tuple[int, int, int, int]:
    """What changes when a file does."""
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

"""What is in a directory of a context."""

from __future__ import annotations

import os
import sys
from array import array
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property

from layers.disk.paths import Root, decode, encode
from layers.disk.stats import Stats, Status

UTF8 = sys.getfilesystemencoding() == "utf-8"
"""Whether names come as layers spell them already."""


class Listing:
    """All names in a directory by their bytes, ignored or not, and what lstat(2) says of them."""

    def __init__(self, names: list[str], stats: Stats) -> None:
        self.names = names
        self.stats = stats

    @cached_property
    def at(self) -> dict[str, int]:
        """Where a name stands."""
        return dict(zip(self.names, range(len(self.names)), strict=True))

    def find(self, name: str) -> Status | None:
        """What is known of a name."""
        at = self.at.get(name)
        return None if at is None else self.stats[at]

    @classmethod
    def read(cls, root: Root, path: str) -> Listing:
        """List a directory that no symlink leads to. Raises OSError."""
        folder = root.open(path or ".", os.O_RDONLY | os.O_DIRECTORY, follow=False)
        try:
            found = os.listdir(folder)
            names = found if UTF8 else [decode(os.fsencode(name)) for name in found]
            names.sort(key=None if "".join(names).isascii() else encode)
            try:
                return cls(names, _looked(names, folder))
            except FileNotFoundError:  # one that has gone meanwhile
                there = [name for name in names if _exists(name, folder)]
                return cls(there, _looked(there, folder))
        finally:
            os.close(folder)


def read_many(paths: Sequence[str], descriptors: Sequence[int]) -> list[tuple[list[str], bytes] | None]:
    """The helper's work: directories below a descriptor; None for one that cannot be listed."""
    found: list[tuple[list[str], bytes] | None] = []
    with Root(f"/proc/self/fd/{descriptors[0]}") as root:
        for path in paths:
            try:
                listing = Listing.read(root, path)
                found.append((listing.names, listing.stats.numbers.tobytes()))
            except OSError:
                found.append(None)
    return found


def received(names: list[str], numbers: bytes) -> Listing:
    """One of them."""
    return Listing(names, Stats(array("q", numbers)))


def _looked(names: Sequence[str], folder: int) -> Stats:
    each = names if UTF8 else map(encode, names)
    return Stats.of([os.stat(name, dir_fd=folder, follow_symlinks=False) for name in each])


def _exists(name: str, folder: int) -> bool:
    with suppress(FileNotFoundError):
        os.stat(encode(name), dir_fd=folder, follow_symlinks=False)
        return True
    return False

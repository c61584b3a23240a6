"""What lstat(2) says of many files, in columns: a tenth of the memory that as many os.stat_results take."""

from __future__ import annotations

import os
import sys
from array import array
from collections.abc import Iterable
from itertools import chain
from operator import attrgetter
from typing import NamedTuple

_HALF = 63


class Status(NamedTuple):
    """Of one file, as far as it matters. Numbers of 64 bits without a sign have one here."""

    mode: int
    ino: int
    dev: int
    nlink: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, found: os.stat_result) -> Status:
        """What of it is kept."""
        return cls._make(map(_signed, _FIELDS(found)))

    def same(self, other: Status) -> bool:
        """True if a file was not written to, whatever happened to its names and its owner, which change `ctime_ns`."""
        return (
            self.ino == other.ino
            and self.size == other.size
            and self.mtime_ns == other.mtime_ns
            and self.mode == other.mode
            and self.dev == other.dev
        )


_WIDTH = len(Status._fields)
_FIELDS = attrgetter(*(f"st_{name}" for name in Status._fields))
_COLUMNS = {name: number for number, name in enumerate(Status._fields)}


class Stats:
    """Of many files, in some order."""

    __slots__ = ("numbers",)

    def __init__(self, numbers: array[int]) -> None:
        self.numbers = numbers

    @classmethod
    def of(cls, found: Iterable[os.stat_result]) -> Stats:
        """What of them is kept."""
        rows = list(map(_FIELDS, found))
        try:
            return cls(array("q", chain.from_iterable(rows)))
        except OverflowError:
            return cls(array("q", map(_signed, chain.from_iterable(rows))))

    def __len__(self) -> int:
        return len(self.numbers) // _WIDTH

    def __getitem__(self, at: int) -> Status:
        return Status._make(self.numbers[_WIDTH * at : _WIDTH * at + _WIDTH])

    def part(self, start: int, end: int) -> Stats:
        """Some of them, one behind the other."""
        return Stats(self.numbers[_WIDTH * start : _WIDTH * end])

    def chosen(self, which: Iterable[int]) -> Stats:
        """Some of them, by number."""
        numbers = array("q")
        for at in which:
            numbers += self.numbers[_WIDTH * at : _WIDTH * at + _WIDTH]
        return Stats(numbers)

    def packed(self, name: str) -> bytes:
        """One field of all as the same bytes on every machine."""
        found = self.column(name)
        if sys.byteorder == "big":
            found.byteswap()
        return found.tobytes()

    def column(self, name: str) -> array[int]:
        """One field of all, by its name in a Status."""
        return self.numbers[_COLUMNS[name] :: _WIDTH]


def _signed(number: int) -> int:
    return number - (number >> _HALF << _HALF + 1) if number > 0 else number

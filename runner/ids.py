"""Which numbers users and groups have inside and outside of a user namespace (user_namespaces(7)).

Two uses of one map: what a process is, and how files look to it. Files keep the numbers that they have inside; an
idmapped mount (mount_setattr(2)) shows them moved outside, so that the process owns what it should and a layer is the
same as without. The mount's map has one line more: the host's root, who makes what overlayfs itself needs, gets a
number that nobody inside has. Without it the kernel would quietly mount the overlay read-only.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping, Sequence

from layers.quick import dataclass
from layers.quicktuple import NamedTuple
from runner.files import text

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from typing import Any, Self

MOST = 2**32 - 1
"""How many numbers there are; the last of 32 bits means "none" to the kernel."""
FIRST = 1 << 30
"""Where the numbers of `auto` begin on the host: far above those of people and of subordinate ids."""
APART = MOST - (1 << 27)
"""Where those begin that one container has to itself (`runner.ranges`)."""
SHARED = APART - FIRST
"""How many lie between: those of `auto`."""
COUNT = 1 << 16
"""How many a container has to itself."""
SPARE = MOST - 1
"""The number that the host's root has in mapped mounts."""


class Range(NamedTuple):
    """`size` numbers, from `inside` on in the namespace and from `outside` on in the one around it."""

    inside: int
    outside: int
    size: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `CONTAINER:HOST:SIZE`. Raises ValueError."""
        words = text.split(":")
        if len(words) != 3 or not all(word.isascii() and word.isdigit() for word in words):
            raise ValueError(f"id map {text!r}: write CONTAINER:HOST:SIZE, three numbers")
        inside, outside, size = map(int, words)
        if size < 1 or max(inside, outside) + size > MOST:
            raise ValueError(f"id map {text!r}: its numbers go beyond {MOST - 1}, or it has none")
        return cls(inside, outside, size)


Ranges = tuple[Range, ...]


@dataclass(frozen=True)
class Ids:
    """The maps of users and groups. `lenient`: where this cannot be had, the numbers of the host will do."""

    uids: Ranges
    gids: Ranges
    lenient: bool = False

    def __post_init__(self) -> None:
        for kind, ranges in (("uid", self.uids), ("gid", self.gids)):
            if across(ranges, 0) is None:
                raise ValueError(f"the {kind} map has no number for 0, the root user inside; add 0:HOST:SIZE")
            for at in (0, 1):
                ends = sorted((one[at], one[at] + one.size) for one in ranges)
                if any(end > start for (_, end), (start, _) in itertools.pairwise(ends)):
                    raise ValueError(f"the {kind} map gives a number twice")

    @classmethod
    def of(cls, pid: int) -> Self:
        """Those of a running process, seen from here. Raises FileNotFoundError if there is none."""
        if os.readlink(f"/proc/{pid}/ns/user") == os.readlink("/proc/self/ns/user"):
            return cls.same()  # of its own namespace a process is told what it is in the one around that
        uids, gids = (read(text(f"/proc/{pid}/{kind}_map")) for kind in ("uid", "gid"))
        return cls(uids, gids)

    @classmethod
    def auto(cls, *, lenient: bool = False) -> Self:
        """Without asking how: 3 thousand million numbers, of which none is anybody's on the host."""
        high = (Range(0, FIRST, SHARED),)
        return cls(high, high, lenient)

    @classmethod
    def usual(cls) -> Self:
        """`auto`, where it can be had."""
        return cls.auto(lenient=True)

    @classmethod
    def same(cls) -> Self:
        """Everybody keeps their number: without rights over the host, but not without its files."""
        return cls(ALL, ALL)

    @classmethod
    def parse(cls, uids: Sequence[str], gids: Sequence[str]) -> Self:
        """From `CONTAINER:HOST:SIZE` texts; groups as users if they are not given. Raises ValueError."""
        return cls(tuple(map(Range.parse, uids)), tuple(map(Range.parse, gids or uids)))

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """From what `json` made of the fields."""
        uids, gids = (tuple(Range(*one) for one in value[kind]) for kind in ("uids", "gids"))
        return cls(uids, gids, value["lenient"])

    @property
    def is_auto(self) -> bool:
        """Whether it is a map that nobody has written by number."""
        return self.uids[0].inside == 0 and all(one.outside >= FIRST for one in (*self.uids, *self.gids))

    @property
    def moves(self) -> bool:
        """Whether anybody has another number outside."""
        return any(one.inside != one.outside for one in (*self.uids, *self.gids))

    def outside(self, uid: int, gid: int) -> tuple[int, int]:
        """The numbers outside of somebody inside. Raises KeyError for who has none."""
        return _found(self.uids, uid, "user"), _found(self.gids, gid, "group")

    def inside(self, uid: int, gid: int) -> tuple[int, int]:
        """The numbers inside of somebody outside. Raises KeyError for who has none."""
        return _found(turned(self.uids), uid, "user"), _found(turned(self.gids), gid, "group")


def read(text: str) -> Ranges:
    """The ranges of a uid_map or gid_map file."""
    return tuple(Range(*map(int, line.split())) for line in text.splitlines())


def lines(ranges: Iterable[Range]) -> bytes:
    """As such a file is written."""
    return b"".join(b"%d %d %d\n" % one for one in ranges)


def for_mounts(ranges: Ranges) -> Ranges:
    """The map of a mount, where the host's root has a number, too."""
    if across(turned(ranges), 0) is not None:
        return ranges
    spare = next(number for number in range(SPARE, 0, -1) if across(ranges, number) is None)
    return (*ranges, Range(spare, 0, 1))


def turned(ranges: Ranges) -> Ranges:
    """The way back."""
    return tuple(Range(one.outside, one.inside, one.size) for one in ranges)


def through(ranges: Ranges, further: Ranges) -> Ranges:
    """The ranges with what is their outside led on by another map. Raises KeyError with a number that it has not."""
    found: list[Range] = []
    for one in ranges:
        inside, at, left = one
        while left:
            part = next((part for part in further if 0 <= at - part.inside < part.size), None)
            if part is None:
                raise KeyError(at)
            size = min(left, part.inside + part.size - at)
            found.append(Range(inside, part.outside + at - part.inside, size))
            inside, at, left = inside + size, at + size, left - size
    return tuple(found)


def across(ranges: Ranges, number: int) -> int | None:
    """The number on the other side, if it has one."""
    return next((one.outside + number - one.inside for one in ranges if 0 <= number - one.inside < one.size), None)


def here(uid: int, gid: int) -> None:
    """See that somebody is there in our own namespace. Raises KeyError."""
    for kind, number, name in (("uid", uid, "user"), ("gid", gid, "group")):
        _found(read(text(f"/proc/self/{kind}_map")), number, name)


def _found(ranges: Ranges, number: int, kind: str) -> int:
    if (other := across(ranges, number)) is None:
        raise KeyError(f"{kind} {number} has no number on the host")
    return other


ALL = (Range(0, 0, MOST),)
"""The map of the host's own user namespace."""

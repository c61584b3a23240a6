"""Which ids of a container are which on the host (user_namespaces(7); OCI runtime-spec, config-linux.md).

No map at all means that all ids are the same on both sides; an id outside a map has no other side and is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from layers.errors import DocumentInvalid, IdUnmapped
from layers.quick import dataclass, replace
from layers.tar.entry import Entry, EntryType

MOST = 1 << 32
RANGE = re.compile(r"(\d{1,10}):(\d{1,10})(?::(\d{1,10}))?\Z")


@dataclass(frozen=True, slots=True)
class IdRange:
    """`size` ids, from `container` on inside and from `host` on outside."""

    container: int
    host: int
    size: int = 1

    def __post_init__(self) -> None:
        if self.size < 1 or not 0 <= self.container <= MOST - self.size or not 0 <= self.host <= MOST - self.size:
            raise DocumentInvalid(f"id map {self}", "its numbers do not fit into 32 bits, or it has no ids")

    @classmethod
    def parse(cls, text: str) -> IdRange:
        """Read `CONTAINER:HOST[:SIZE]`. Raises DocumentInvalid."""
        found = RANGE.match(text)
        if found is None:
            raise DocumentInvalid(f"id map {text!r}", "write CONTAINER:HOST:SIZE, three numbers")
        return cls(int(found[1]), int(found[2]), int(found[3] or 1))

    @classmethod
    def from_json(cls, value: object) -> IdRange:
        """Read a LinuxIDMapping object. Raises DocumentInvalid."""
        if not isinstance(value, dict):
            raise DocumentInvalid("id map", f"{value!r} is no object")
        container, host, size = (value.get(key) for key in ("containerID", "hostID", "size"))
        if not isinstance(container, int) or not isinstance(host, int) or not isinstance(size, int):
            raise DocumentInvalid("id map", "containerID, hostID and size must be numbers")
        return cls(container, host, size)

    def to_json(self) -> dict[str, Any]:
        """The LinuxIDMapping object."""
        return {"containerID": self.container, "hostID": self.host, "size": self.size}

    def __str__(self) -> str:
        return f"{self.container}:{self.host}:{self.size}"


@dataclass(frozen=True, slots=True)
class IdMap:
    """The maps of users and of groups."""

    uids: tuple[IdRange, ...] = ()
    gids: tuple[IdRange, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.uids or self.gids)

    def outside(self, entry: Entry) -> Entry:
        """What lies in a container, with its owner as the host knows it. Raises IdUnmapped."""
        if not self or entry.type in (EntryType.WHITEOUT, EntryType.OPAQUE):
            return entry
        uid, gid = _across(self.uids, entry.uid, "user", entry), _across(self.gids, entry.gid, "group", entry)
        return replace(entry, uid=uid, gid=gid)

    def inside(self, entry: Entry) -> Entry:
        """What lies on the host, with its owner as the container knows it. Raises IdUnmapped."""
        return IdMap(_turned(self.uids), _turned(self.gids)).outside(entry) if self else entry


def _turned(ranges: Iterable[IdRange]) -> tuple[IdRange, ...]:
    return tuple(IdRange(one.host, one.container, one.size) for one in ranges)


def _across(ranges: tuple[IdRange, ...], number: int, kind: str, entry: Entry) -> int:
    if not ranges:
        return number
    for one in ranges:
        if one.container <= number < one.container + one.size:
            return one.host + number - one.container
    raise IdUnmapped(entry.path, kind, number)

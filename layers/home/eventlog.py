"""What happened in a store, an event a line: the journal behind `events`, kept without a daemon.

Every process appends for itself, one write(2) a line, so lines never mix. Two files bound it: when `log` is full it
becomes `log.1`, whose predecessor goes. Losing an event harms nobody: it is not synced, and a full or read-only disk
is no error.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from layers.quick import dataclass, field
from layers.quickjson import dumps, loads

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from typing import Any, BinaryIO

LARGEST = 1 << 20
"""Bytes of one file; there are two."""
LOOK = 0.1
"""Seconds between two looks for news."""


@dataclass(frozen=True)
class Event:
    """`action` happened to the `kind` (container, image, network …) `id`. `time` is nanoseconds since the epoch."""

    kind: str
    action: str
    id: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    time: int = 0

    def line(self) -> bytes:
        """As the journal keeps it."""
        words = [self.time, self.kind, self.action, self.id, dict(self.attributes)]
        return dumps(words, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def parse(cls, line: bytes) -> Event | None:
        """A line of the journal, None if it is torn."""
        try:
            moment, kind, action, identity, attributes = loads(line)
        except ValueError:
            return None
        return cls(kind, action, identity, attributes, moment)


@dataclass(frozen=True)
class EventLog:
    """The journal of the store at `root`."""

    root: Path

    @property
    def path(self) -> Path:
        """The file that grows."""
        return self.root / "events/log"

    def append(self, kind: str, action: str, identity: str, attributes: Mapping[str, str] | None = None) -> None:
        """Note that something happened now."""
        line = Event(kind, action, identity, attributes or {}, time.time_ns()).line()
        with suppress(OSError):
            try:
                descriptor = self._open()
            except FileNotFoundError:
                self.path.parent.mkdir(mode=0o700)
                descriptor = self._open()
            try:
                os.write(descriptor, line)
                full = os.fstat(descriptor).st_size > LARGEST
            finally:
                os.close(descriptor)
            if full:
                self._turn()

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _turn(self) -> None:
        from layers.disk import locks

        with locks.alone(self.path.with_name("lock")):
            if self.path.stat().st_size > LARGEST:  # nobody was quicker
                os.replace(self.path, self.path.with_name("log.1"))

    def read(self, *, since: int = 0, until: int | None = None) -> Iterator[Event]:
        """What was noted between two moments, oldest first."""
        for path in (self.path.with_name("log.1"), self.path):
            with suppress(FileNotFoundError), path.open("rb") as file:
                yield from _between(file, since, until)

    def follow(self, stop: Callable[[], bool], *, since: int | None, until: int | None = None) -> Iterator[Event]:
        """What was noted since a moment (None: now), and what comes, until `until` has passed or `stop` says so."""
        if since is None:
            since = time.time_ns()
        file: BinaryIO | None = None
        try:
            with suppress(FileNotFoundError):
                file = self.path.open("rb")
            with suppress(FileNotFoundError), self.path.with_name("log.1").open("rb") as older:
                if file is None or not os.path.sameopenfile(file.fileno(), older.fileno()):
                    yield from _between(older, since, until)
            while True:
                last = stop() or (until is not None and time.time_ns() > until)
                if file is None:
                    with suppress(FileNotFoundError):
                        file = self.path.open("rb")
                if file is not None:
                    yield from _between(file, since, until)
                    if self._turned(file):
                        yield from _between(file, since, until)
                        file.close()
                        file = None
                        continue
                if last:
                    return
                time.sleep(LOOK)
        finally:
            if file is not None:
                file.close()

    def _turned(self, file: BinaryIO) -> bool:
        """Whether another file has taken the place of this one."""
        with suppress(FileNotFoundError):
            return not os.path.samestat(os.fstat(file.fileno()), self.path.stat())
        return True


def _between(file: BinaryIO, since: int, until: int | None) -> Iterator[Event]:
    """The whole lines from here on that fit."""
    while line := file.readline():
        if not line.endswith(b"\n"):
            file.seek(-len(line), os.SEEK_CUR)  # it is being written
            return
        event = Event.parse(line)
        if event is not None and event.time >= since and (until is None or event.time <= until):
            yield event


def fields(event: Event) -> dict[str, Any]:
    """docker's object for an event (Docker Engine API, "Monitor events"), old names beside the new."""
    attributes = dict(event.attributes)
    found: dict[str, Any] = {}
    if event.kind in ("container", "image"):
        found |= {"status": event.action, "id": event.id}
        if event.kind == "container" and "image" in attributes:
            found["from"] = attributes["image"]
    return found | {
        "Type": event.kind,
        "Action": event.action,
        "Actor": {"ID": event.id, "Attributes": attributes},
        "scope": "local",
        "time": event.time // 1_000_000_000,
        "timeNano": event.time,
    }

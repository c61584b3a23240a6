"""What a container wrote, a JSON object a line, as docker's json-file driver keeps it.

A line of output becomes one record; a line longer than a record's limit is cut into several, of which
only the last ends in a newline. Two streams share the file and keep the order in which they were read.
"""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from builder.containers.container import now
from layers.quick import dataclass, field, replace

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from typing import BinaryIO

STREAMS = {1: "stdout", 2: "stderr"}
LONGEST = 16 << 10
LOOK = 0.05
"""Seconds between two looks for more."""


@dataclass(frozen=True, slots=True)
class Record:
    """One piece of output. `stream` is stdout or stderr, `time` RFC 3339."""

    stream: str
    data: bytes
    time: str


@dataclass
class Writer:
    """Appends output to the log; holds back an unfinished line until it ends or `close` comes."""

    path: Path
    pending: dict[int, bytearray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        size = os.fstat(self.fd).st_size
        if size and os.pread(self.fd, 1, size - 1) != b"\n":  # a writer was killed in the middle of a record
            os.ftruncate(self.fd, self.path.read_bytes().rfind(b"\n") + 1)

    def __call__(self, stream: int, data: bytes) -> None:
        """Take some bytes of stream 1 or 2."""
        waiting = self.pending.setdefault(stream, bytearray())
        waiting += data
        end = waiting.rfind(b"\n") + 1
        if not end and len(waiting) > LONGEST:
            end = len(waiting)
        if end:
            self._append(stream, bytes(waiting[:end]))
            del waiting[:end]

    def close(self) -> None:
        """Write what is left and close."""
        for stream, waiting in self.pending.items():
            if waiting:
                self._append(stream, bytes(waiting))
        os.close(self.fd)

    def _append(self, stream: int, data: bytes) -> None:
        moment = now()
        lines = []
        for line in split_lines(data):
            text = line.decode("utf-8", "surrogateescape")
            lines.append(json.dumps({"log": text, "stream": STREAMS[stream], "time": moment}))
        os.write(self.fd, ("\n".join(lines) + "\n").encode())


def split_lines(data: bytes) -> list[bytes]:
    """Lines ended by a newline only: a carriage return alone is part of a line."""
    parts = data.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


@dataclass(frozen=True, slots=True)
class Range:
    """Which records are wanted: the last `tail` of those (None: all), within two moments in seconds since the epoch."""

    tail: int | None = None
    since: float | None = None
    until: float | None = None

    def holds(self, record: Record) -> bool:
        """Whether a record lies between the moments."""
        if self.since is None and self.until is None:
            return True
        from datetime import datetime

        moment = datetime.fromisoformat(record.time).timestamp()
        return (self.since is None or moment >= self.since) and (self.until is None or moment <= self.until)

    @property
    def over(self) -> bool:
        """Whether nothing that comes can be wanted."""
        return self.until is not None and time.time() > self.until


def read(path: Path, wanted: Range = Range()) -> list[Record]:  # noqa: B008 it is a value
    """The records that are wanted."""
    try:
        with path.open("rb") as file:
            return list(_old(file, wanted))
    except FileNotFoundError:
        return []


def _old(file: BinaryIO, wanted: Range) -> Iterator[Record]:
    """What is wanted of what is there; a line that is being written is left for later."""
    found: deque[Record] = deque(maxlen=wanted.tail)
    while line := file.readline():
        if not line.endswith(b"\n"):
            file.seek(-len(line), os.SEEK_CUR)
            break
        if wanted.holds(record := parse(line)):
            if wanted.tail is None:
                yield record
            else:
                found.append(record)
    yield from found


def follow(path: Path, alive: Callable[[], bool], wanted: Range = Range()) -> Iterator[Record]:  # noqa: B008
    """What is there, and what comes until nobody writes any more or it is too late."""
    while not path.exists():
        if not alive():
            return
        time.sleep(LOOK)
    with path.open("rb") as file:
        yield from _old(file, wanted)
        rest = replace(wanted, tail=None)
        while True:
            last = wanted.over or not alive()
            yield from _old(file, rest)
            if last:
                return
            time.sleep(LOOK)


def parse(line: bytes) -> Record:
    """One line of the log."""
    value = json.loads(line)
    return Record(value["stream"], value["log"].encode("utf-8", "surrogateescape"), value["time"])

"""What a container wrote, a JSON object a line, as docker's json-file driver keeps it.

A line of output becomes one record; a line longer than a record's limit is cut into several, of which
only the last ends in a newline. Two streams share the file and keep the order in which they were read.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import field
from datetime import UTC, datetime
from pathlib import Path

from layers.quick import dataclass

STREAMS = {1: "stdout", 2: "stderr"}
LONGEST = 16 << 10


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
        moment = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        lines = []
        for line in split_lines(data):
            text = line.decode("utf-8", "surrogateescape")
            lines.append(json.dumps({"log": text, "stream": STREAMS[stream], "time": moment}))
        os.write(self.fd, ("\n".join(lines) + "\n").encode())


def split_lines(data: bytes) -> list[bytes]:
    """Lines ended by a newline only: a carriage return alone is part of a line."""
    parts = data.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def read(path: Path, *, tail: int | None = None) -> list[Record]:
    """All records, or the last `tail`."""
    try:
        with path.open("rb") as file:
            lines = [line for line in file if line.endswith(b"\n")]
    except FileNotFoundError:
        return []
    return [parse(line) for line in (lines if tail is None else lines[len(lines) - min(tail, len(lines)) :])]


def follow(path: Path, alive: Callable[[], bool], *, tail: int | None = None) -> Iterator[Record]:
    """What is there, and what comes until nobody writes any more."""
    with path.open("rb") as file:
        lines = file.readlines()
        rest = b""
        if lines and not lines[-1].endswith(b"\n"):
            rest = lines.pop()
        for line in lines if tail is None else lines[len(lines) - min(tail, len(lines)) :]:
            yield parse(line)
        while True:
            last = not alive()
            while piece := file.readline():
                rest += piece
                if rest.endswith(b"\n"):
                    yield parse(rest)
                    rest = b""
            if last:
                return
            time.sleep(0.05)


def parse(line: bytes) -> Record:
    """One line of the log."""
    value = json.loads(line)
    return Record(value["stream"], value["log"].encode("utf-8", "surrogateescape"), value["time"])

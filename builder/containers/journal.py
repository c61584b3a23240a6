"""What a container wrote, a JSON object a line, as docker's json-file driver keeps it.

A line of output becomes one record; a line longer than a record's limit is cut into several, of which
only the last ends in a newline. Two streams share the file and keep the order in which they were read. A log with a
bound is several files: `log`, and before it `log.1` and so on, the older the higher.
"""

from __future__ import annotations

import errno
import os
import time
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path

from builder.containers.container import now
from layers.quick import dataclass, field, replace
from layers.quickjson import dumps, loads

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Iterable, Iterator
    from typing import BinaryIO

    from builder.containers.container import Container
else:
    from _collections import deque  # without its package

STREAMS = {1: "stdout", 2: "stderr"}
UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
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
    """Appends output to the log; holds back an unfinished line until it ends or `close` comes.

    A file that has `most` bytes makes room for a new one, if that is not 0; there are `files` at most. What cannot be
    written is lost, and that is told in the log as soon as there is room: a full disk is no reason to end a command.
    """

    path: Path
    most: int = 0
    files: int = 1
    pending: dict[int, bytearray] = field(default_factory=dict)
    lost: int = 0
    """Bytes of records that could not be written since the last that could."""

    def __post_init__(self) -> None:
        self._open()
        size = os.fstat(self.fd).st_size
        if size and os.pread(self.fd, 1, size - 1) != b"\n":  # a writer was killed in the middle of a record
            os.ftruncate(self.fd, self.path.read_bytes().rfind(b"\n") + 1)

    def _open(self) -> None:
        self.fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _turn(self) -> None:
        """The file makes room for a new one, and the oldest goes."""
        names = [self.path, *(numbered(self.path, number) for number in range(1, self.files))]
        for newer, older in zip(names[-2::-1], names[:0:-1], strict=True):
            with suppress(FileNotFoundError):
                newer.rename(older)
        if self.files == 1:
            self.path.unlink()
        full = self.fd
        with suppress(OSError):  # else it grows on until there is room for another
            self._open()
            os.close(full)

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
        lines: list[bytes] = []
        room = self.most - os.fstat(self.fd).st_size if self.most else 0
        for line in split_lines(data):
            lines.append(written(stream, line, moment))
            room -= len(lines[-1])
            if self.most and room <= 0:
                self._write(b"".join(lines), moment)
                self._turn()
                lines, room = [], self.most
        if lines:
            self._write(b"".join(lines), moment)

    def _write(self, records: bytes, moment: str) -> None:
        gap = f"pybuild: {self.lost} bytes of this log were lost, for there was no room for them\n".encode()
        data = written(2, gap, moment) + records if self.lost else records
        done = 0
        try:
            done = os.write(self.fd, data)
        except OSError as error:
            if error.errno not in UNWRITABLE:
                raise
        if done == len(data):
            self.lost = 0
            return
        self.lost += len(records)
        if done:  # half a record is none
            os.ftruncate(self.fd, os.fstat(self.fd).st_size - done)


def written(stream: int, line: bytes, moment: str) -> bytes:
    """One record as the file has it."""
    text = line.decode("utf-8", "surrogateescape")
    return dumps({"log": text, "stream": STREAMS[stream], "time": moment}).encode() + b"\n"


@dataclass
class Nowhere:
    """Takes output and keeps none (`--log-driver none`)."""

    def __call__(self, stream: int, data: bytes) -> None:
        """Let it go."""

    def close(self) -> None:
        """Nothing is left."""


def writer(container: Container) -> Writer | Nowhere:
    """What keeps the output of a container, as it was asked for."""
    settings = container.settings
    if settings.log_driver == "none":
        return Nowhere()
    return Writer(container.log, settings.log_size, settings.log_files)


def numbered(path: Path, number: int) -> Path:
    """The file of a log before which `number` younger ones are."""
    return path.with_name(f"{path.name}.{number}") if number else path


def split_lines(data: bytes) -> list[bytes]:
    """Lines ended by a newline only: a carriage return alone is part of a line."""
    parts = data.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


@dataclass(frozen=True)
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
    with ExitStack() as opened:
        return list(_old(_files(path, opened), wanted))


def _files(path: Path, opened: ExitStack, after: tuple[int, int] | None = None) -> list[BinaryIO]:
    """All files of a log, the oldest first; or those that came `after` one, itself among them if it is still there.

    From the youngest on, so that none is left out that makes room meanwhile.
    """
    found: list[BinaryIO] = []
    seen: set[tuple[int, int]] = set()
    for number in count():
        try:
            file = opened.enter_context(numbered(path, number).open("rb"))
        except FileNotFoundError:
            break
        if (one := _inode(file)) not in seen:
            seen.add(one)
            found.append(file)
        if one == after:
            break
    return found[::-1]


def _inode(file: BinaryIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino


def _old(files: Iterable[BinaryIO], wanted: Range) -> Iterator[Record]:
    """What is wanted of what is there; a line that is being written is left for later."""
    found: deque[Record] = deque(maxlen=wanted.tail)
    for file in files:
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
    with ExitStack() as opened:
        files = _files(path, opened)
        yield from _old(files, wanted)
        rest, file = replace(wanted, tail=None), files[-1]
        while True:
            last = wanted.over or not alive()
            yield from _old([file], rest)
            for younger in _younger(path, file, opened):
                yield from _old([file, younger], rest)
                file.close()
                file = younger
            if last:
                return
            time.sleep(LOOK)


def _younger(path: Path, file: BinaryIO, opened: ExitStack) -> list[BinaryIO]:
    """The files that have come after one that is open."""
    with suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return []
    return [one for one in _files(path, opened, _inode(file)) if _inode(one) != _inode(file)]


def parse(line: bytes) -> Record:
    """One line of the log."""
    value = loads(line)
    return Record(value["stream"], value["log"].encode("utf-8", "surrogateescape"), value["time"])

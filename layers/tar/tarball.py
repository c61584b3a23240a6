"""One layer as a tar, always the same bytes for the same entries.

The profile: canonical order (`ordered`), ustar headers where they suffice, else one PAX header
with sorted keys in front; numeric owners only; no access or change times; whiteouts as empty
files of nobody (OCI image-spec, layer.md, "Whiteouts"); two zero blocks at the end, no padding to
a record. Seconds of a modification time are in the header; nanoseconds, if any, in a PAX record.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import BinaryIO

from layers.disk.paths import encode
from layers.disk.stats import Status
from layers.errors import ArchiveInvalid, FileChanged, FileUnreadable
from layers.tar.entry import Entry, EntryType
from layers.tar.header import BLOCK, header, plain_headers
from layers.tar.plain import PlainFiles
from layers.tar.xattrs import incoming, read

CHUNK = 1 << 20

_ZEROS = bytes(BLOCK)


def order(entry: Entry) -> bytes:
    """Sort key of the canonical order: depth first, names by their bytes, a directory before its
    children, deletions before their siblings."""
    raw = encode(entry.path).replace(b"/", b"\0")
    if entry.type is EntryType.OPAQUE:
        return b"\0%b\0\0" % raw if raw else b"\0\0"
    if entry.type is EntryType.WHITEOUT:
        head, _, name = raw.rpartition(b"\0")
        return b"\0%b\0\0%b" % (head, name) if head else b"\0\0" + name
    return b"\0" + raw if raw else b""


def ordered(entries: Iterable[Entry]) -> list[Entry]:
    """Entries in canonical order."""
    return sorted(entries, key=order)


class TarWriter:
    """Writes entries as they come; order them first (`ordered`).

    `sink` gets pieces of exactly CHUNK bytes, except the last; each is a view of one of `buffers` chunks of memory,
    and must be used up before `sink` is called with the next view of the same.
    """

    def __init__(self, sink: Callable[[memoryview], object], buffers: int = 1) -> None:
        self._sink = sink
        self._buffer = _memory()
        self._free = deque([self._buffer])
        self._more = buffers - 1
        self._used = 0
        self._flushed = 0

    @property
    def position(self) -> int:
        """Bytes so far."""
        return self._flushed + self._used

    def add(self, entry: Entry, data: BinaryIO | bytes | int | None = None) -> int:
        """Write one entry; return the offset of its data in the tar.

        `data` is what a FILE holds: exactly `entry.size` bytes of a stream, of bytes, or of a
        descriptor from its position on. Raises ArchiveInvalid if there are fewer, UnsafePath for a name that a
        layer cannot hold.
        """
        head, size = header(entry), entry.size
        if isinstance(data, int) and entry.type is EntryType.FILE and len(head) + size < CHUNK - self._used:
            return self._add_small(entry, head, data, size)
        self._write(head)
        start = self._flushed + self._used
        if entry.type is EntryType.FILE and size:
            self._copy(entry, data, size)
            self._write(_ZEROS[: -size % BLOCK])
        return start

    def _add_small(self, entry: Entry, head: bytes, data: int, size: int) -> int:
        """The same for a file that fits into what is left of the buffer: most do, and cost a third then."""
        start = self._used + len(head)
        self._buffer[self._used : start] = head
        count = os.readv(data, [self._buffer[start : start + size]]) if size else 0
        self._used = start + count
        offset = self._flushed + start
        if count < size:
            self._copy(entry, data, size - count)
        self._write(_ZEROS[: -size % BLOCK])
        return offset

    def add_files(self, files: PlainFiles) -> tuple[list[int], dict[int, Mapping[str, bytes]]]:
        """Write files from the disk; return the offsets of their data, and the attributes of those that have any.

        Raises FileChanged for one that is no longer as it was looked at, ArchiveInvalid for one that becomes shorter
        after that, and FileUnreadable.
        """
        offsets: list[int] = []
        attributes: dict[int, Mapping[str, bytes]] = {}
        names, stats, buffer = files.names, files.stats, self._buffer
        looked = zip(stats.column("size"), stats.column("ino"), stats.column("ctime_ns"), strict=True)
        raw = list(map(encode, names))
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        at = 0
        try:
            folder = files.open_folder()
        except OSError as error:
            raise FileUnreadable(files.prefix + names[0], error.strerror or str(error)) from error
        try:
            for head, (size, inode, ctime_ns) in zip(plain_headers(files, raw), looked, strict=True):
                data = os.open(raw[at], flags, dir_fd=folder)
                try:
                    now = os.fstat(data)
                    unchanged = now.st_ctime_ns == ctime_ns and now.st_size == size and now.st_ino == inode
                    if not unchanged and not stats[at].same(Status.of(now)):
                        raise FileChanged(files.prefix + names[at])
                    found = incoming(read(data))
                    start = self._used + len(head)
                    end = start + size
                    if found or end + BLOCK > CHUNK:
                        attributes[at] = found
                        offsets.append(self.add(files.entry(at, found), data))
                        buffer = self._buffer
                    else:
                        buffer[self._used : start] = head
                        if size and (count := os.readv(data, [buffer[start:end]])) < size:
                            self._used = start + count
                            self._copy(files.entry(at, found), data, size - count)
                        self._used = end + -size % BLOCK
                        buffer[end : self._used] = _ZEROS[: self._used - end]
                        offsets.append(self._flushed + start)
                        if self._used == CHUNK:
                            self.flush()
                            buffer = self._buffer
                finally:
                    os.close(data)
                at += 1
        except OSError as error:
            raise FileUnreadable(files.prefix + names[at], error.strerror or str(error)) from error
        finally:
            os.close(folder)
        return offsets, attributes

    def take(self, entry: Entry, tar: int, start: int, end: int) -> int:
        """Write the header of a file, and for what follows it the bytes from `start` to `end` of another tar.

        Returns the offset of the file's data. Raises ArchiveInvalid if that tar is shorter.
        """
        self._write(header(entry))
        return self.copy(tar, start, end)

    def copy(self, tar: int, start: int, end: int) -> int:
        """Write the bytes from `start` to `end` of another tar; return where they begin.

        Raises ArchiveInvalid if that tar is shorter.
        """
        offset = self.position
        while start < end:
            stop = min(CHUNK, self._used + end - start)
            count = os.preadv(tar, [self._buffer[self._used : stop]], start)
            if not count:
                raise ArchiveInvalid("a tar that files are taken from ends too early")
            start += count
            self._used += count
            if self._used == CHUNK:
                self.flush()
        return offset

    def close(self) -> int:
        """Write the end mark and what is buffered; return the size of the tar."""
        self._write(_ZEROS)
        self._write(_ZEROS)
        self.flush()
        return self._flushed

    def _write(self, data: bytes) -> None:
        done = 0
        while done < len(data):
            room = CHUNK - self._used
            piece = data[done : done + room] if done or len(data) > room else data
            self._buffer[self._used : self._used + len(piece)] = piece
            self._used += len(piece)
            done += len(piece)
            if self._used == CHUNK:
                self.flush()

    def flush(self) -> None:
        """Hand over what is buffered."""
        if self._used:
            self._sink(self._buffer[: self._used])
            self._flushed += self._used
            self._used = 0
            if self._more:
                self._more -= 1
                self._free.appendleft(_memory())
            self._free.rotate(-1)
            self._buffer = self._free[-1]

    def _copy(self, entry: Entry, data: BinaryIO | bytes | int | None, left: int) -> None:
        if isinstance(data, bytes):
            if len(data) != entry.size:
                raise ArchiveInvalid(f"{entry.path!r} should have {entry.size} bytes but has {len(data)}")
            self._write(data)
            return
        if data is None:
            raise ArchiveInvalid(f"{entry.path!r} has {entry.size} bytes, but none were given")
        fill = _filler(data)
        while left:
            stop = min(CHUNK, self._used + left)
            count = fill(self._buffer[self._used : stop])
            if not count:
                raise ArchiveInvalid(
                    f"{entry.path!r} became shorter while it was read: {left} of {entry.size} bytes are missing"
                )
            self._used += count
            left -= count
            if self._used == CHUNK:
                self.flush()


def _memory() -> memoryview:
    """A chunk of memory that takes no more of it than is written: most tars are small, and zeroing takes its time."""
    from mmap import MAP_PRIVATE, mmap

    return memoryview(mmap(-1, CHUNK, MAP_PRIVATE))


def _filler(data: BinaryIO | int) -> Callable[[memoryview], int]:
    """A function that reads some bytes into a buffer and returns how many."""
    if isinstance(data, int):
        return lambda view: os.readv(data, [view])
    into = getattr(data, "readinto", None)
    if into is not None:
        return into  # type: ignore[no-any-return]

    def fill(view: memoryview) -> int:
        piece = data.read(len(view))
        view[: len(piece)] = piece
        return len(piece)

    return fill

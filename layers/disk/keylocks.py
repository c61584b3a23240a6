"""Locks by key, all of them in one file that is as good as empty: open file description locks of its bytes (fcntl(2)).

A key is 41 bits of its digest; that many times 4 MiB into the file begins its range, which nobody ever writes to. Who
holds it has locked as many bytes as the number of his process, which is less than 2²² (pid_max, proc(5)): so whoever
does not get it learns who has it. The kernel gives the range back however the holder ends, and there is nothing to
sweep. At its beginning the file has a mark for each of 4096 groups of keys, which a holder changes to tell who waits.

All this saves work and guards nothing: where there are no such locks, everybody gets what he asks for at once.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
import weakref
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

FLOCK = "hhqqi0q"
"""struct flock: type, whence, start, length, process."""
ROOM_BITS = 22
"""What a range may grow to: more bytes than there are numbers of processes."""
MARKS = 4096
MARK = 8
"""Bytes of one."""


class KeyLocks:
    """Those of one file, as one holder: threads have to settle among themselves who has what."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1
        self._owner = 0
        self._opening = threading.Lock()

    def take(self, key: str) -> int:
        """0 if the lock is ours now; else the process that holds it, by the number that it knows itself by."""
        start, own = place(key), os.getpid()
        wanted = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, start, own, 0)
        with suppress(OSError):
            file = self._opened()
            while True:
                with suppress(BlockingIOError):
                    fcntl.fcntl(file, fcntl.F_OFD_SETLK, wanted)
                    return 0
                kind, _, _, length, _ = struct.unpack(FLOCK, fcntl.fcntl(file, fcntl.F_OFD_GETLK, wanted))
                if kind != fcntl.F_UNLCK:
                    return int(length)
        return 0

    def free(self, key: str) -> None:
        """Let go of a lock."""
        over = struct.pack(FLOCK, fcntl.F_UNLCK, os.SEEK_SET, place(key), 1 << ROOM_BITS, 0)
        with suppress(OSError):
            fcntl.fcntl(self._opened(), fcntl.F_OFD_SETLK, over)

    def mark(self, key: str) -> bytes:
        """The mark of a key: it is another one once somebody has changed it."""
        with suppress(OSError):
            return os.pread(self._opened(), MARK, _mark(key))
        return b""

    def change(self, key: str) -> None:
        """Change the mark of a key."""
        with suppress(OSError):
            os.pwrite(self._opened(), os.urandom(MARK), _mark(key))

    def _opened(self) -> int:
        """The file, opened by this process: a descriptor from before a fork would hold the parent's locks."""
        with self._opening:
            if self._owner != os.getpid():
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
                self._owner = os.getpid()
                weakref.finalize(self, os.close, self._file)
            return self._file


def place(key: str) -> int:
    """Where the range of a key begins."""
    return int.from_bytes(sha256(key.encode("utf-8", "surrogateescape")).digest()[:8]) >> (ROOM_BITS + 1) << ROOM_BITS


def _mark(key: str) -> int:
    return (place(key) >> ROOM_BITS) % MARKS * MARK

"""Locks on files (flock(2)), which the kernel opens when their holder dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Only one process (and thread) is inside; the file is there only meanwhile. Raises OSError where it cannot be."""
    while True:
        held = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            if not stands(held, path):
                continue  # its last user removed it while we waited: take the new one
            try:
                yield
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(path)
            return
        finally:
            os.close(held)


def stands(held: int, path: Path) -> bool:
    """Whether an open file still has its name; whoever waited for a lock asks that first."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(held), os.stat(path))
    return False


def is_locked(path: Path | str) -> bool:
    """True if a process holds the lock on this file or directory."""
    with suppress(FileNotFoundError):
        held = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(held)
    return False

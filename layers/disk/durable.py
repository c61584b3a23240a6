"""What has to be on the disk before anything relies on it: names in directories, and small files.

A name (made by link, rename or mkdir) is on the disk once its directory was synced, bytes once their file was
(fsync(2)).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

NO_WRITING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
_WRITE = 2  # SYNC_FILE_RANGE_WRITE


def sync(directory: Path) -> None:
    """Let the names in a directory outlive a power cut."""
    held = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(held)
    finally:
        os.close(held)


def begin(file: int, start: int, count: int) -> None:
    """Let the disk begin with what was just written, so that a sync later has less to wait for; promises nothing."""
    _sync_file_range()(file, start, count, _WRITE)


@cache
def _sync_file_range() -> Callable[[int, int, int, int], int]:
    """sync_file_range(2); where there is none, nothing."""
    import ctypes

    call = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if call is None:
        return lambda *_: 0
    call.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    return call  # type: ignore[no-any-return]


@contextmanager
def placed(path: Path) -> Iterator[None]:
    """Say of a disk that is full or cannot be written to, which knows no name, what was to be written."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in NO_WRITING:
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
        raise


def make(directory: Path, mode: int = 0o777) -> None:
    """Make a directory and those above it that are missing, for good."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.mkdir(mode=mode, parents=True, exist_ok=True)
    for path in missing:
        sync(path.parent)


def write(path: Path, data: bytes) -> None:
    """Write a new file whose bytes outlive a power cut once its directory is synced."""
    with path.open("xb", buffering=0) as file:
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]
        os.fsync(file.fileno())

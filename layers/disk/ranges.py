"""Bytes at a position of a file: from another one, by the kernel where it can, or from memory."""

from __future__ import annotations

import errno
import os


def copy_range(source: int, offset: int, target: int, position: int, length: int) -> None:
    """Copy `length` bytes at `offset` of a file to `position` of another. Raises OSError, EIO if there are fewer."""
    while length:
        try:
            count = os.copy_file_range(source, target, length, offset, position)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            data = os.pread(source, min(length, 1 << 20), offset)
            count = os.pwrite(target, data, position)
        if not count:
            raise OSError(errno.EIO, "the raw tar ends inside a file")
        offset, position, length = offset + count, position + count, length - count


def write_all(target: int, data: bytes | memoryview, position: int) -> None:
    """Write bytes at a position of a file. Raises OSError."""
    view = memoryview(data)
    while view:
        count = os.pwrite(target, view, position)
        view, position = view[count:], position + count

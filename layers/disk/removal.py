"""Removing trees that others made: of any depth, with names of any length, with one descriptor open.

`shutil.rmtree` recurses, so that a few thousand nested directories exhaust the stack or the descriptors; and
paths below a deep directory are longer than the kernel takes. Here each inner directory is first moved up to the top.

This stands on nothing, so `runner` may use it as well.
"""

from __future__ import annotations

import errno
import os

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FULL = (errno.ENOTEMPTY, errno.EEXIST)


def remove(name: str | bytes, at: int | None = None) -> None:
    """Remove whatever has this name in directory `at`, with all that is below it; nothing being there is fine.

    Links are removed, never followed. Raises OSError for what the kernel does not let go.
    """
    if _unlinked(name, at):
        return
    if os.geteuid():
        os.chmod(name, 0o700, dir_fd=at)
    top = os.open(name, _DIRECTORY, dir_fd=at)
    try:
        _clear(top)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=at)


def clear(directory: int) -> None:
    """Remove everything in a directory, given by a descriptor that can be read."""
    for name in os.listdir(directory):
        remove(name, directory)


def _clear(top: int) -> None:
    token, count = os.urandom(8).hex(), 0
    waiting: list[str] = []
    for name in os.listdir(top):
        if not _unlinked(name, top):
            waiting.append(name)
    while waiting:
        name = waiting.pop()
        if os.geteuid():
            os.chmod(name, 0o700, dir_fd=top)
        inner = os.open(name, _DIRECTORY, dir_fd=top)
        try:
            for child in os.listdir(inner):
                if _unlinked(child, inner):
                    continue
                if os.geteuid():
                    os.chmod(child, 0o700, dir_fd=inner)  # moving a directory rewrites its ".."
                moved = f"{token}.{count}"
                count += 1
                os.rename(child, moved, src_dir_fd=inner, dst_dir_fd=top)
                waiting.append(moved)
        finally:
            os.close(inner)
        try:
            os.rmdir(name, dir_fd=top)
        except FileNotFoundError:
            pass


def _unlinked(name: str | bytes, at: int | None) -> bool:
    """True if the name is gone; False if it is a directory with something in it."""
    try:
        os.unlink(name, dir_fd=at)
    except FileNotFoundError:
        return True
    except IsADirectoryError:
        try:
            os.rmdir(name, dir_fd=at)
        except FileNotFoundError:
            return True
        except OSError as error:
            if error.errno not in _FULL:
                raise
            return False
    return True

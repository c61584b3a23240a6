"""What lies below a tmpfs, copied into it (the mount option `tmpcopyup`)."""

import os
import stat
from contextlib import suppress

PIECE = 1 << 16


def copy_up(source: int, target: int) -> None:
    """Copy a directory's entries, with modes, owners and times; both by descriptor, links are never followed."""
    readable = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=source)
    try:
        _like(os.fstat(readable), b".", target)
        for name in os.listdir(readable):
            _copy(readable, target, os.fsencode(name))
    finally:
        os.close(readable)


def _copy(source: int, target: int, name: bytes) -> None:
    there = os.stat(name, dir_fd=source, follow_symlinks=False)
    kind = stat.S_IFMT(there.st_mode)
    if kind == stat.S_IFLNK:
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
        os.chown(name, there.st_uid, there.st_gid, dir_fd=target, follow_symlinks=False)
        return
    if kind == stat.S_IFDIR:
        os.mkdir(name, 0o700, dir_fd=target)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        below, made = os.open(name, flags, dir_fd=source), os.open(name, flags, dir_fd=target)
        try:
            copy_up(below, made)
        finally:
            os.close(below)
            os.close(made)
        return
    if kind == stat.S_IFREG:
        reader = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=source)
        writer = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=target)
        try:
            while piece := os.read(reader, PIECE):
                while piece:
                    piece = piece[os.write(writer, piece) :]
        finally:
            os.close(reader)
            os.close(writer)
    elif kind == stat.S_IFIFO:
        os.mkfifo(name, dir_fd=target)
    else:
        return  # a socket or a device is nobody's to copy
    _like(there, name, target)


def _like(there: os.stat_result, name: bytes, folder: int) -> None:
    os.chown(name, there.st_uid, there.st_gid, dir_fd=folder)
    os.chmod(name, stat.S_IMODE(there.st_mode), dir_fd=folder)
    with suppress(PermissionError):
        os.utime(name, ns=(there.st_atime_ns, there.st_mtime_ns), dir_fd=folder)

"""Directories that are not ours alone: what is written there is whole, what is read there is met with care.

A file that is named by its digest is written nameless (O_TMPFILE, open(2)), verified, flushed, and only then named; a
file system that knows no nameless files (FAT, NFS) gets a part that is renamed. A small file is replaced whole: a
reader sees the old one or the new one, after a crash as well. Whoever replaces a file that others replace too holds
`locked` meanwhile, so no change is lost; the lock is the directory itself, leaves nothing behind, and ends with its
holder.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from layers.disk.durable import placed, sync
from layers.errors import BlobMismatch, BlobMissing, DocumentInvalid
from layers.oci.descriptor import Descriptor

CHUNK = 1 << 20


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Only one process (and thread) is inside for one directory."""
    held = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def sharing(directory: Path) -> int:
    """A descriptor that keeps a directory from whoever wants it alone, until it is closed. Raises FileNotFoundError."""
    held = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(held, fcntl.LOCK_SH)
    return held


def keep(target: Path, wanted: Descriptor, source: BinaryIO) -> None:
    """Write what `source` holds as the file of that content, in place of what was there. Raises BlobMismatch."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with placed(target), nameless(target.parent) as (part, name):
        hasher = hashlib.new(wanted.digest.algorithm)
        left = wanted.size + 1  # one byte beyond the promise already breaks it
        while left and (piece := source.read(min(CHUNK, left))):
            left -= len(piece)
            hasher.update(piece)
            view = memoryview(piece)
            while view:
                view = view[os.write(part, view) :]
        met = f"{wanted.digest.algorithm}:{hasher.hexdigest()}"
        if left != 1 or met != str(wanted.digest):
            raise BlobMismatch(wanted, received=wanted.size + 1 - left, digest=met if left else None)
        os.fdatasync(part)
        name_it(part, name, target)


@contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """A file that takes its name when it is complete; whoever is killed before leaves nothing. Raises OSError."""
    with placed(target), nameless(target.parent, 0o666) as (part, name), open(os.dup(part), "w+b") as stream:
        yield stream
        stream.flush()
        os.fsync(part)
        name_it(part, name, target)


def name_it(part: int, name: Path, target: Path) -> None:
    """Let a file of `nameless` take its real name, from whatever has that."""
    if not name.exists():
        held = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:  # with descriptors of directories Python asks linkat(2) to follow the link in /proc
            os.link(f"/proc/self/fd/{part}", name.name, src_dir_fd=held, dst_dir_fd=held, follow_symlinks=True)
        finally:
            os.close(held)
    os.replace(name, target)


@contextmanager
def nameless(directory: Path, mode: int = 0o644) -> Iterator[tuple[int, Path]]:
    """A file to write, and the name that it gets, or has already, before its real one."""
    name = directory / f".part-{secrets.token_hex(8)}"
    with ExitStack() as undo:
        undo.callback(name.unlink, missing_ok=True)
        try:
            part = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, mode)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL):
                raise
            part = os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, mode)
        undo.callback(os.close, part)
        yield part, name


def replace(directory: Path, name: str, data: bytes) -> None:
    """Give a file new content. Call it inside `locked`: the part it writes has a name of its own only once."""
    part = directory / f".{name}.part"
    with placed(part), part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, directory / name)
    sync(directory)


def open_regular(path: Path, what: str, where: str) -> BinaryIO:
    """A file of a directory that others made. Raises BlobMissing if it is not there, or is no regular file."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise BlobMissing(what, where) from error
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise BlobMissing(f"{what} as a regular file", where)
    return open(opened, "rb", buffering=0)


def read_small(path: Path, what: str, where: str, limit: int = 4 << 20) -> bytes:
    """The whole of a small file. Raises BlobMissing, and DocumentInvalid if it is larger than `limit` bytes."""
    with open_regular(path, what, where) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise DocumentInvalid(str(path), f"larger than {limit} bytes")
    return data

"""Paths that strangers wrote: names in archives, links in a rootfs.

`normalise` is the only way from an archive's name to a path of an Entry. `Root` is the only way
from such a path to a file on disk: the kernel resolves it with the root as its "/" (openat2(2),
RESOLVE_IN_ROOT), so neither "..", nor a symlink, nor a race leads outside.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from functools import cache
from pathlib import Path

from layers.errors import UnsafePath

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from typing import Self

NAME_BYTES = 255
PATH_BYTES = 4095
MAX_HOPS = 40

_IN_ROOT = 0x10 | 0x02  # RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
_NO_SYMLINKS = _IN_ROOT | 0x04
_SYS_OPENAT2 = 437  # the same number on every architecture
_SKIPPED = frozenset({"", "."})


def encode(path: str) -> bytes:
    """The bytes of a path that was decoded with surrogateescape."""
    return path.encode("utf-8", "surrogateescape")


def decode(raw: bytes) -> str:
    """Any bytes as text, without loss."""
    return raw.decode("utf-8", "surrogateescape")


def normalise(name: str) -> str:
    """An archive's name as the path of an Entry: relative, no empty or "." parts; "" is the root.

    Raises UnsafePath for "..", NUL, an empty name, and names longer than Linux can open.
    """
    if not name:
        raise UnsafePath(name, "an archive member needs a name")
    if "\0" in name:
        raise UnsafePath(name, "a name cannot contain a NUL byte")
    parts = name.split("/")
    if ".." in parts:
        raise UnsafePath(name, 'a name in an archive must not contain ".."')
    if "" in parts or "." in parts:
        parts = [part for part in parts if part not in _SKIPPED]
        name = "/".join(parts)
    if len(name) > 63:  # up to four bytes a character: shorter ones cannot break a limit
        raw = encode(name)
        if len(raw) > PATH_BYTES:
            raise UnsafePath(name, f"longer than {PATH_BYTES} bytes")
        if len(raw) > NAME_BYTES and any(len(part) > NAME_BYTES for part in raw.split(b"/")):
            raise UnsafePath(name, f"a part of it is longer than {NAME_BYTES} bytes")
    return name


def resolve(path: str, link: Callable[[str], str | None], *, follow: bool = True) -> str:
    """A path without symlinks in it, inside a root, by words alone; what does not exist is kept as it is written.

    `link` tells where the symlink at a path (without links) leads, None if there is none. `follow` False leaves the
    last part alone. Raises UnsafePath for a circle of links.
    """
    hops = 0
    done: list[str] = []
    waiting = path.split("/")[::-1]
    while waiting:
        part = waiting.pop()
        if part in _SKIPPED:
            continue
        if part == "..":
            del done[-1:]
            continue
        done.append(part)
        if not follow and _SKIPPED.issuperset(waiting):
            continue
        target = link("/".join(done))
        if target is None:
            continue
        hops += 1
        if hops > MAX_HOPS:
            raise UnsafePath(path, "its symbolic links go in a circle")
        if target.startswith("/"):
            done.clear()
        else:
            done.pop()
        waiting.extend(target.split("/")[::-1])
    return "/".join(done)


class Root:
    """A directory that paths cannot leave. A context manager; `fd` is open while it lives.

    Absolute paths and links start at the root, ".." stops at it. With `follow=False` no part of
    the path may be a symlink (errno ELOOP). Failures are OSErrors that carry the path.
    """

    def __init__(self, path: Path | str) -> None:
        self.fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the descriptor back. Idempotent."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def open(self, path: str, flags: int = os.O_RDONLY, mode: int = 0, *, follow: bool = True) -> int:
        """A new descriptor for a path inside."""
        resolve = _IN_ROOT if follow else _NO_SYMLINKS
        kernel = _openat2()
        raw = encode(path).lstrip(b"/") or b"."
        flags |= os.O_CLOEXEC
        if kernel is not None:
            for _ in range(64):  # EAGAIN: a rename elsewhere made the kernel unsure about ".."
                number = kernel(self.fd, raw, flags, mode, resolve)
                if number >= 0:
                    return number
                if number not in (-errno.EAGAIN, -errno.EINTR):
                    break
            if number != -errno.ENOSYS:
                raise OSError(-number, os.strerror(-number), path)
        return _walk(self.fd, raw, flags, mode, follow=follow)

    def lstat(self, path: str, *, follow: bool = True) -> os.stat_result:
        """Attributes of the path itself; symlinks are followed on the way to it only."""
        if not follow:
            head, _, name = path.strip("/").rpartition("/")
            fd = self.open(head, os.O_PATH | os.O_DIRECTORY, follow=False) if head else self.fd
            try:
                return os.stat(name or ".", dir_fd=fd, follow_symlinks=False)
            finally:
                if fd != self.fd:
                    os.close(fd)
        fd = self.open(path, os.O_PATH | os.O_NOFOLLOW)
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)

    def stat(self, path: str) -> os.stat_result:
        """Attributes of what the path leads to."""
        fd = self.open(path, os.O_PATH)
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)

    def readlink(self, path: str) -> str:
        """The target of a symlink as it was written."""
        fd = self.open(path, os.O_PATH | os.O_NOFOLLOW)
        try:
            return decode(os.readlink(b"", dir_fd=fd))
        finally:
            os.close(fd)

    def read(self, path: str, limit: int) -> bytes:
        """The content of a regular file of at most `limit` bytes. Raises UnsafePath for anything else."""
        fd = self.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        with open(fd, "rb", buffering=0) as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise UnsafePath(path, "not a regular file")
            data = bytearray()
            while chunk := file.read(limit + 1 - len(data)):
                data += chunk
        if len(data) > limit:
            raise UnsafePath(path, f"larger than the {limit} bytes allowed here")
        return bytes(data)

    def listdir(self, path: str) -> list[str]:
        """Names in a directory, sorted by their bytes."""
        fd = self.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return sorted(os.listdir(fd), key=encode)
        finally:
            os.close(fd)


@cache
def _openat2() -> Callable[[int, bytes, int, int, int], int] | None:
    """openat2(2) as a function that returns a descriptor or -errno; None where it cannot be called."""
    import struct

    from layers.foreign import c_long, function, get_errno

    syscall, number, how = function("syscall"), c_long(_SYS_OPENAT2), struct.Struct("=3Q")  # struct open_how
    size = c_long(how.size)

    def call(at: int, path: bytes, flags: int, mode: int, resolve: int) -> int:
        result = syscall(number, c_long(at), path, how.pack(flags, mode, resolve), size)
        return result if result >= 0 else -get_errno()

    probe = call(os.open("/", os.O_PATH | os.O_CLOEXEC), b".", os.O_PATH | os.O_CLOEXEC, 0, _IN_ROOT)
    if probe < 0:
        return None
    os.close(probe)
    return call


def _walk(root: int, raw: bytes, flags: int, mode: int, *, follow: bool) -> int:
    """`Root.open` for kernels before 5.6 and sandboxes without openat2: part by part, never through a link."""
    stack = [os.dup(root)]
    todo = [part for part in reversed(raw.split(b"/")) if part not in (b"", b".")]
    hops = 0
    try:
        while todo:
            part = todo.pop()
            if part == b"..":
                if len(stack) > 1:
                    os.close(stack.pop())
                continue
            last = not todo
            try:
                target = os.readlink(part, dir_fd=stack[-1])
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOENT):
                    raise
            else:
                if last and flags & os.O_NOFOLLOW and flags & os.O_PATH:
                    return os.open(part, flags, mode, dir_fd=stack[-1])
                hops += 1
                if not follow or (last and flags & os.O_NOFOLLOW) or hops > MAX_HOPS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), decode(raw))
                if target.startswith(b"/"):
                    while len(stack) > 1:
                        os.close(stack.pop())
                todo += [part for part in reversed(target.split(b"/")) if part not in (b"", b".")]
                continue
            if last:
                return os.open(part, flags | os.O_NOFOLLOW, mode, dir_fd=stack[-1])
            stack.append(os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=stack[-1]))
        return os.open(b".", flags & ~os.O_NOFOLLOW, dir_fd=stack[-1])
    finally:
        for fd in stack:
            os.close(fd)

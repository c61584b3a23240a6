"""Places inside a root on which something can be mounted, made where they are missing.

`find` walks a path by descriptor, so links lead nowhere but into the root. `Stubs` makes the missing ones before a
command starts and takes them away after it, so that they never become part of a layer: a stub is removed only if it
is still the very object that was made (its inode is held open) and still empty, and the parent gets its times back.
A root that goes as a whole when the command has ended may keep them.
"""

import errno
import os
import stat

from runner.linux import O_PATH, open_in
from runner.suppress import suppress

_HERE = O_PATH | os.O_NOFOLLOW


class _Stub:  # no dataclass: the spawner loads this module, and would load all that dataclasses need
    __slots__ = ("itself", "name", "parent", "times")

    def __init__(self, parent: int, name: bytes, itself: int, times: tuple[int, int]) -> None:
        self.parent = parent
        self.name = name
        self.itself = itself
        self.times = times


class Stubs:
    """What was made below one root, owned by `owner`. A context manager; leaving it removes the stubs if not `kept`."""

    def __init__(self, owner: tuple[int, int] = (0, 0), *, kept: bool = False) -> None:
        self.owner = owner
        self.kept = kept
        self.made: list[_Stub] = []

    def __enter__(self) -> "Stubs":
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remember(self, parent: int, name: bytes, itself: int, before: os.stat_result) -> None:
        """Take note of a directory or file that was just made in `parent`; `before` is how `parent` was."""
        if not self.kept:
            self.made.append(_Stub(os.dup(parent), name, os.dup(itself), (before.st_atime_ns, before.st_mtime_ns)))

    def remove(self) -> None:
        """Take away, children first, what is still ours and empty."""
        while self.made:
            stub = self.made.pop()
            try:
                self._take_away(stub)
            finally:
                os.close(stub.itself)
                os.close(stub.parent)

    def _take_away(self, stub: _Stub) -> None:
        ours = os.fstat(stub.itself)
        with suppress(FileNotFoundError):
            there = os.stat(stub.name, dir_fd=stub.parent, follow_symlinks=False)
            if (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
                return  # the command has put something of its own here
            try:
                if stat.S_ISDIR(there.st_mode):
                    os.rmdir(stub.name, dir_fd=stub.parent)
                elif there.st_size == 0:
                    os.unlink(stub.name, dir_fd=stub.parent)
                else:
                    return
            except OSError as problem:
                if problem.errno in (errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR):
                    return  # somebody has filled it, or put something else there since we looked: it is not ours now
                raise
            os.utime(b"/proc/self/fd/%d" % stub.parent, ns=stub.times)


def find(root: int, path: bytes, *, directory: bool, stubs: Stubs | None = None, make: bool = True) -> int:
    """An O_PATH descriptor of `path` inside `root`; with `make`, missing parts are made, and noted in `stubs`.

    Raises NotADirectoryError or IsADirectoryError when what is there has the wrong kind.
    """
    try:
        found = open_in(root, path, O_PATH)
    except FileNotFoundError:
        if not make:
            raise
        found = _make(root, path, directory=directory, stubs=stubs)
    is_directory = stat.S_ISDIR(os.fstat(found).st_mode)
    if is_directory != directory:
        os.close(found)
        number = errno.ENOTDIR if directory else errno.EISDIR
        raise OSError(number, os.strerror(number), path)
    return found


def _make(root: int, path: bytes, *, directory: bool, stubs: Stubs | None) -> int:
    parts = [part for part in path.split(b"/") if part not in (b"", b".")]
    current = open_in(root, b".", O_PATH | os.O_DIRECTORY)
    try:
        for place, part in enumerate(parts, 1):
            if part == b"..":
                raise OSError(errno.EINVAL, "a path to be made cannot hold '..'", path)
            try:
                # From the root each time, so that links met on the way are followed inside it.
                following = open_in(root, b"/".join(parts[:place]), O_PATH)
            except FileNotFoundError:
                before = os.fstat(current)
                if directory or place < len(parts):
                    os.mkdir(part, 0o755, dir_fd=current)
                else:
                    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW
                    os.close(os.open(part, flags, 0o644, dir_fd=current))
                following = os.open(part, _HERE, dir_fd=current)
                if stubs is not None:
                    if stubs.owner != (0, 0):
                        os.chown(part, *stubs.owner, dir_fd=current, follow_symlinks=False)
                    stubs.remember(current, part, following, before)
            os.close(current)
            current = following
    except BaseException:
        os.close(current)
        raise
    return current

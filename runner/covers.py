"""What lies on paths that a command cannot see, or can only read."""

import errno
import os
import stat

from runner.linux import (
    NODEV,
    NOEXEC,
    NOSUID,
    O_PATH,
    RDONLY,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    attach,
    change_mount,
    copy_mount,
    new_mount,
    open_in,
)

STRICT = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS


def there(root: int, path: bytes, *, links: bool = True) -> int | None:
    """A descriptor of what a path leads to; None if there is nothing, as not every kernel has everything.

    Without `links` they count as nothing: what they lead to has a name of its own, under which it is covered.
    """
    try:
        return open_in(root, path, O_PATH) if links else open_in(root, path, O_PATH, resolve=STRICT)
    except OSError as problem:
        if problem.errno in (errno.ENOENT, errno.ENOTDIR) or (problem.errno == errno.ELOOP and not links):
            return None
        raise


class Covers:
    """Hides directories under one empty one, and anything else under `null`: a directory and a name there."""

    def __init__(self, null: tuple[int, bytes]) -> None:
        self._null = null
        self._empty = -1

    def hide(self, target: int) -> None:
        """Let nobody see what is there."""
        if not stat.S_ISDIR(os.fstat(target).st_mode):
            attach(copy_mount(*self._null), target)
        elif self._empty < 0:
            attributes = NOSUID | NODEV | NOEXEC | RDONLY
            self._empty = new_mount(b"tmpfs", {b"mode": b"755", b"nr_inodes": b"1"}, attributes=attributes)
            attach(self._empty, target)
        else:
            attach(copy_mount(self._empty), target)


def freeze(target: int, attributes: int = RDONLY) -> None:
    """Let nobody write what is there."""
    part = copy_mount(target, recursive=True)
    change_mount(part, add=attributes, recursive=True)
    attach(part, target)

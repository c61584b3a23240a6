"""File systems of a test's own, mounted without mount(8), which a small Debian lacks."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runner import linux, mounts


@contextmanager
def mounted(kind: bytes, options: dict[bytes, bytes | None], target: Path) -> Iterator[None]:
    """A new file system on a directory, gone on leaving."""
    made = linux.new_mount(kind, options)
    linux.attach(made, linux.AT_FDCWD, os.fsencode(target))
    os.close(made)
    try:
        yield
    finally:
        mounts.unmount(target)

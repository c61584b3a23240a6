"""Blobs that are only partly here: what a pull that was killed leaves, and the next one goes on with.

    partial/<algorithm>.<hex>     the first bytes of a blob, locked (flock(2)) by whoever adds to them

Nothing here is believed: the bytes are hashed again before more are asked for, and the blob is named only when all
of it has the right digest. A second process that wants the same blob waits for the first and finds it whole. What
nobody holds is litter to `prune`.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from layers.disk import durable
from layers.errors import LayerError
from layers.home.blobs import BlobWriter
from layers.home.room import full_disk_explained
from layers.oci.descriptor import Descriptor

if TYPE_CHECKING:
    from layers.home.blobs import Blobs

ROOM = "partial"
WORTH = 1 << 20
"""Bytes of a blob from which on it is worth to keep a part of it."""
LOOK_SECONDS = 0.05
"""How often a process that waits for another one looks whether it is done."""


@contextmanager
def partial(blobs: Blobs, wanted: Descriptor) -> Iterator[BlobWriter]:
    """Add to a part; the writer knows the bytes that are `kept` in it. Raises StoreFull.

    Leaving after a `commit`, or by an error that says that the bytes are no good, removes the part; leaving by any
    other error keeps it for the next time.
    """
    folder = blobs.root.parent / ROOM
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{wanted.digest.algorithm}.{wanted.digest.hex}"
    part = grasp(path)
    with ExitStack() as undo:
        undo.callback(os.close, part)
        kept = os.fstat(part).st_size
        if kept > wanted.size:
            os.ftruncate(part, 0)
            kept = 0
        os.lseek(part, 0, os.SEEK_END)
        if not (blobs.root / wanted.digest.algorithm).exists():
            durable.make(blobs.root / wanted.digest.algorithm)
        writer = BlobWriter(blobs, wanted.digest.algorithm, lambda: (part, path), kept)
        undo.callback(writer.settle)
        try:
            with full_disk_explained(blobs.root.parent):
                yield writer
        except LayerError:
            drop(path, part)
            raise
        except BaseException as error:
            writer.flush()
            if writer.size:
                error.add_note("what came is kept; the next pull goes on from there")
            raise
        drop(path, part)


class Continued:
    """A blob from its beginning: first the bytes that a part has, then what `open_at` brings from there on."""

    def __init__(self, part: BlobWriter, open_at: Callable[[int], BinaryIO]) -> None:
        self._here = part.reader()
        self._left = part.kept
        self._kept = part.kept
        self._open_at = open_at
        self._rest: BinaryIO | None = None

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes. Raises what the source raises."""
        if self._left:
            if data := self._here.read(self._left if size < 0 else min(size, self._left)):
                self._left -= len(data)
                return data
            raise OSError(f"a part lost its last {self._left} bytes while it was read")
        if self._rest is None:
            self._rest = self._open_at(self._kept)
        return self._rest.read(size)

    def close(self) -> None:
        """Give both up."""
        self._here.close()
        if self._rest is not None:
            self._rest.close()


def grasp(path: Path) -> int:
    """Open a part, made if need be, and hold its lock; waits while another process holds it."""
    while True:
        part = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                there = os.stat(path)
                if os.path.samestat(os.fstat(part), there):
                    if there.st_nlink == 1:
                        return part
                    os.unlink(path)  # its blob was named, and then its process was killed
        except BlockingIOError:
            time.sleep(LOOK_SECONDS)
        except BaseException:
            os.close(part)
            raise
        os.close(part)


def drop(path: Path, part: int) -> None:
    """Remove a part whose lock we hold, unless it is another's by now."""
    with suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(part), os.stat(path)):
            os.unlink(path)


def idle(root: Path) -> Iterator[Path]:
    """Parts in the store `root` that nobody adds to; each is locked while the caller looks at it."""
    folder = root / ROOM
    if not folder.is_dir():
        return
    for entry in list(os.scandir(folder)):
        with suppress(FileNotFoundError):
            part = os.open(entry.path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(part), os.stat(entry.path)):
                    yield Path(entry.path)
            except BlockingIOError:
                continue
            finally:
                os.close(part)

"""The files of an archive of images, found by name in an outer tar that is indexed once.

Members come in any order, may be links to one another, and lie where they are: nothing is unpacked. An archive that is
compressed, or comes through a pipe, is put on the disk first.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from layers.errors import ArchiveInvalid
from layers.oci.documents import MAX_DOCUMENT
from layers.tar import tarread
from layers.tar.entry import EntryType
from layers.views.tree import Content

HOPS = 8
"""Links that are followed from one member to another."""


class Members:
    """The members of one tar; threads may read them at the same time."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._entries = {entry.path: entry for entry in tarread.entries(file)}

    def holds(self, path: str) -> bool:
        """True if there is a file of that name, or a link to one."""
        try:
            self.size(path)
        except ArchiveInvalid:
            return False
        return True

    def size(self, path: str) -> int:
        """Bytes of a file. Raises ArchiveInvalid if it is not there."""
        return self._entries[self._found(path)].size

    def open(self, path: str) -> BinaryIO:
        """The bytes of a file. Raises ArchiveInvalid if it is not there."""
        content = Content(Shared(self._file), self._entries[self._found(path)])  # type: ignore[arg-type]
        return io.BufferedReader(content, 1 << 20)

    def read(self, path: str) -> bytes:
        """A small file. Raises ArchiveInvalid if it is not there or larger than a document may be."""
        if self.size(path) > MAX_DOCUMENT:
            raise ArchiveInvalid(f"{path} is larger than {MAX_DOCUMENT} bytes")
        with self.open(path) as file:
            return file.read()

    def _found(self, path: str) -> str:
        """The name of the file that a name leads to."""
        at = "/".join(part for part in path.split("/") if part not in ("", "."))
        for _ in range(HOPS):
            entry = self._entries.get(at)
            if entry is None or entry.type is EntryType.FILE:
                break
            if entry.type not in (EntryType.SYMLINK, EntryType.HARDLINK):
                break
            parts = at.split("/")[:-1] if entry.type is EntryType.SYMLINK and entry.linkname[:1] != "/" else []
            for part in entry.linkname.split("/"):
                if part == "..":
                    del parts[-1:]
                elif part not in ("", "."):
                    parts.append(part)
            at = "/".join(parts)
        if at not in self._entries or self._entries[at].type is not EntryType.FILE:
            raise ArchiveInvalid(f"{path} is not in it")
        return at


@contextmanager
def opened(source: BinaryIO, scratch: Callable[[], AbstractContextManager[Path]]) -> Iterator[Members]:
    """The members of an archive, plain or compressed, from a file or a pipe. Raises ArchiveInvalid."""
    from layers.tar.codec import decompress

    with ExitStack() as close:
        if plain(source):
            yield Members(source)
            return
        room = close.enter_context(scratch())
        stream = decompress(source)
        with (room / "archive").open("wb") as out:
            while piece := stream.read(1 << 20):
                out.write(piece)
        yield Members(close.enter_context((room / "archive").open("rb")))


def plain(source: BinaryIO) -> bool:
    """True for a regular file that is a tar as it is."""
    try:
        if not stat.S_ISREG(os.fstat(source.fileno()).st_mode) or source.tell() != 0:
            return False
    except OSError:
        return False
    return tarread.is_tar(os.pread(source.fileno(), tarread.BLOCK, 0))


class Shared:
    """A file that several readers use; it stays open."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def fileno(self) -> int:
        """Its descriptor."""
        return self._file.fileno()

    def close(self) -> None:
        """Its owner closes it."""

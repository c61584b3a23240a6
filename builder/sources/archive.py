"""Archives as file systems to look at, without being unpacked: tar, compressed in any way or none.

A stream can be read once, so it is put into a scratch directory, decompressed; the names in it are made safe by the
reader of hostile tars (`layers.tar.normal`), and nothing in it can point out of it.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from layers import Store, Tree

MAGIC = 512
"""Bytes that tell whether a file is a tar."""
CHUNK = 1 << 20


def opened(store: Store, file: BinaryIO, stack: ExitStack) -> Tree | None:
    """What an archive holds, as long as `stack` is open; None if it is none. Raises ArchiveInvalid, StoreFull."""
    from layers.errors import ArchiveInvalid
    from layers.tar.codec import decompress
    from layers.tar.tarread import is_tar
    from layers.tar.toc import Toc
    from layers.views.tree import Tree

    try:
        stream = decompress(file)
        head = b""
        while len(head) < MAGIC and (more := stream.read(MAGIC - len(head))):
            head += more
    except ArchiveInvalid:
        return None
    if not is_tar(head):
        return None
    scratch = stack.enter_context(store.scratch())
    raw = stack.enter_context((scratch / "tar").open("w+b"))
    while head:
        raw.write(head)
        head = stream.read(CHUNK)
    raw.flush()
    return Tree([(Toc.scan(raw, layer=False), lambda: (scratch / "tar").open("rb"))])

"""The result of a step, or what was fetched, as a place that COPY reads: its twin for directories is the context."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, BinaryIO

from layers import Entry, EntryType

if TYPE_CHECKING:
    from layers import Chain, Store, Tree


class TreeOrigin:
    """Another step's result as an origin; `seen` is the same with the times that commands saw."""

    def __init__(self, tree: Tree, seen: Tree | None = None) -> None:
        self.tree = tree
        self._seen = seen or tree

    @classmethod
    def of(cls, store: Store, chain: Chain) -> TreeOrigin:
        """The files of a chain. Raises BlobMissing."""
        tree = store.tree(chain)
        made_here = any(toc.times is not None for toc, _ in tree.layers)
        return cls(tree, store.tree(chain, original=True) if made_here else None)

    def time(self, path: str) -> int | None:
        """The time that something had when it was made here, nanoseconds since 1970."""
        found = None if self._seen is self.tree else self._seen.get(path)
        return None if found is None else found.mtime_ns

    def get(self, path: str) -> Entry | None:
        """The entry of a path."""
        return self.tree.get(path)

    def children(self, path: str) -> list[str]:
        """Names in a directory."""
        return self.tree.children(path)

    parts = children

    def resolve(self, path: str) -> str:
        """The path without symlinks."""
        return self.tree.resolve(path)

    def inode(self, path: str) -> object | None:
        """The layer and first name of a file."""
        return self.tree.inode(path)

    def open_file(self, path: str) -> BinaryIO:
        """What a file holds."""
        return self.tree.open(path)

    def digest(self, path: str, entry: Entry) -> str:
        """Of a file's bytes and attributes."""
        hasher = hashlib.sha256()
        for key, value in sorted(entry.xattrs.items()):
            hasher.update(key.encode() + b"\0" + value + b"\0")
        if entry.type is EntryType.FILE and entry.size:
            with self.tree.open(path) as file:
                while chunk := file.read(1 << 20):
                    hasher.update(chunk)
        return hasher.hexdigest()

    def ignored(self, path: str) -> str:
        """Nothing is ignored here."""
        return ""

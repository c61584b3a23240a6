"""What is where in a chain of layers: the merged file system, read from tables of contents and raw tars.

Nothing is unpacked or mounted. Rules: OCI image-spec, layer.md: upper layers hide lower ones, whiteouts delete, opaque
directories hide what lower layers have below them, a directory over a directory merges.
"""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

from layers.disk.paths import resolve
from layers.errors import UnsafePath
from layers.quick import replace
from layers.tar.entry import Entry, EntryType
from layers.tar.toc import Toc
from layers.views.accounts import Accounts

Opener = Callable[[], BinaryIO]
ROOT = Entry("", EntryType.DIR, 0o755)
ACCOUNTS_LIMIT = 8 << 20
BROKEN = "a hard link to a file that is not there"


class Tree:
    """A merged, read-only view. Paths are relative, without a slash at either end; "" is the root.

    Links to files (hard links) appear as the file itself; `inode` tells which names are the same file.
    """

    def __init__(self, layers: Sequence[tuple[Toc, Opener]]) -> None:
        self._layers = [toc for toc, _ in layers][::-1]  # uppermost first
        self._openers = [opener for _, opener in layers][::-1]
        seen: Counter[Toc] = Counter()
        below = []
        for toc, _ in layers:  # one layer may be there twice: its files are others each time
            below.append(seen[toc])
            seen[toc] += 1
        self._below = below[::-1]
        opaque = next((at for at, toc in enumerate(self._layers) if toc.is_opaque("")), len(self._layers))
        self._known = {"": tuple(range(len(self._layers))[: opaque + 1])}

    @property
    def layers(self) -> Sequence[tuple[Toc, Opener]]:
        """What it was made of, lowest first."""
        return list(zip(self._layers, self._openers, strict=True))[::-1]

    def get(self, path: str) -> Entry | None:
        """The entry at a path; a symlink is not followed."""
        if not path:
            return next((found for toc in self._layers if (found := toc.get("")) is not None), ROOT)
        where = self._find(path)
        return None if where is None else where[1]

    def holds(self, path: str) -> bool:
        """True if something is there."""
        return self.get(path) is not None

    def lists(self, path: str) -> bool:
        """True if a layer has an entry for the path; False for directories that are only implied."""
        return any(toc.get(path) is not None for toc in self._layers)

    def stat(self, path: str) -> Entry | None:
        """The entry that a path leads to through symlinks."""
        return self.get(self.resolve(path))

    def inode(self, path: str) -> tuple[Toc, str, int] | None:
        """What names of one file have in common: its layer, its first name there, how often that layer lies below.

        None if nothing is there.
        """
        if not path:
            return None
        found = self._find(path)
        if found is None:
            return None
        return self._layers[found[0]], found[2], self._below[found[0]]

    def locate(self, path: str) -> tuple[int, Entry, str] | None:
        """Where a path other than the root is: (layer, entry, first name of its file in that layer).

        Layers are numbered from the uppermost; `raw` opens them.
        """
        return self._find(path)

    def raw(self, layer: int) -> BinaryIO:
        """The raw tar of a layer."""
        return self._openers[layer]()

    def is_shared(self, path: str) -> bool:
        """True if the file at a path had other names when it was made; they may be gone."""
        inode = self.inode(path)
        return inode is not None and any(toc.links_to(inode[1]) for toc in self._layers)

    def apart(self, other: Tree) -> list[Toc]:
        """The layers of either tree above those that both begin with: only what these mention can differ."""
        mine, others = self._layers[::-1], other._layers[::-1]
        both = zip(mine, others, strict=False)
        shared = next((at for at, (one, two) in enumerate(both) if one is not two), min(len(mine), len(others)))
        return [*mine[shared:], *others[shared:]]

    def resolve(self, path: str, *, follow: bool = True) -> str:
        """The path without symlinks in it, inside the root; what does not exist is kept as it is written.

        `follow` False leaves the last part alone. Raises UnsafePath for a circle of links.
        """
        return resolve(path, self._link, follow=follow)

    def children(self, path: str) -> list[str]:
        """Names in a directory, by their bytes; none if it is no directory."""
        found: set[str] = set()
        hidden: set[str] = set()
        for at in self._inside(path):
            toc = self._layers[at]
            found.update(name for name in toc.children(path) if name not in hidden)
            hidden.update(toc.deleted(path))
        return sorted(found, key=os.fsencode)

    def walk(self, path: str = "", *, strict: bool = False) -> Iterator[Entry]:
        """A path and everything below it, directories before what is in them, in canonical order.

        Links to files that no layer has are left out, or with `strict` raise UnsafePath.
        """
        waiting = [path]
        while waiting:
            path = waiting.pop()
            entry = self.get(path)
            if entry is None:
                if strict:
                    raise UnsafePath(path, BROKEN)
                continue
            yield entry
            if entry.type is EntryType.DIR:
                waiting += [f"{path}/{name}" if path else name for name in reversed(self.children(path))]

    def open(self, path: str) -> BinaryIO:
        """The content of the file that a path leads to. Raises FileNotFoundError, IsADirectoryError."""
        where = self.resolve(path)
        found = self._find(where) if where else None
        if found is None:
            raise FileNotFoundError(2, "no such file in the image", path)
        at, entry, _ = found
        if entry.type is not EntryType.FILE:
            raise IsADirectoryError(21, f"a {entry.type.value}, not a file", path)
        return io.BufferedReader(Content(self._openers[at](), entry), 1 << 17)

    def read(self, path: str, limit: int) -> bytes | None:
        """A small file whole, None if there is none or it is larger than `limit` bytes."""
        try:
            with self.open(path) as file:
                data = file.read(limit + 1)
        except (OSError, UnsafePath):
            return None
        return data if len(data) <= limit else None

    def accounts(self) -> Accounts:
        """The users and groups of its /etc."""
        return Accounts.read(lambda path: self.read(path.lstrip("/"), ACCOUNTS_LIMIT))

    # -- inside ----------------------------------------------------------------------------------

    def _link(self, path: str) -> str | None:
        entry = self.get(path)
        return entry.linkname if entry is not None and entry.type is EntryType.SYMLINK else None

    def _find(self, path: str) -> tuple[int, Entry, str] | None:
        """(layer, entry, first name of its file in that layer)."""
        implied = False
        for at in self._inside(path.rpartition("/")[0]):
            toc = self._layers[at]
            if toc.holds(path):
                entry = toc.get(path)
                if entry is not None and (not implied or entry.type is EntryType.DIR):
                    if entry.type is EntryType.HARDLINK:
                        return self._linked(at, entry)
                    return at, entry, path
                if entry is not None:
                    break  # upper layers say that there is a directory, here is something else
                implied = True
            if toc.deletes(path):
                break
        return (0, replace(ROOT, path=path), path) if implied else None

    def _inside(self, path: str) -> tuple[int, ...]:
        """The layers that say what is in a directory, uppermost first; none if it is no directory."""
        asked = []
        while (known := self._known.get(path)) is None:
            asked.append(path)
            path = path.rpartition("/")[0]
        for path in reversed(asked):
            seen = []
            for at in known:
                toc = self._layers[at]
                if toc.holds(path) and not toc.is_dir(path):
                    break
                if toc.is_dir(path) or toc.touches(path):
                    seen.append(at)
                if toc.deletes(path) or toc.is_opaque(path):
                    break
            self._known[path] = known = tuple(seen)
        return known

    def _linked(self, at: int, link: Entry) -> tuple[int, Entry, str] | None:
        """The file of a hard link: in the same layer, else in those below."""
        here = self._layers[at].get(link.linkname)
        if here is not None and here.type is not EntryType.HARDLINK:
            return at, replace(here, path=link.path), link.linkname
        below = Tree(self.layers[: len(self._layers) - at - 1])._find(link.linkname)
        if below is None:
            return None
        number, entry, name = below
        return at + 1 + number, replace(entry, path=link.path), name


class Content(io.RawIOBase):
    """The bytes of one file inside a raw tar, holes filled with zeros."""

    def __init__(self, tar: BinaryIO, entry: Entry) -> None:
        self._tar = tar
        self._entry = entry
        self._position = 0
        self._pieces = pieces(entry)

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go elsewhere, as in a file."""
        self._position = max(offset + (0, self._position, self._entry.size)[whence], 0)
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill a buffer from the current position."""
        left = self._entry.size - self._position
        view = memoryview(buffer)[: max(left, 0)]
        if not view:
            return 0
        for start, length, offset in self._pieces:
            if self._position < start:
                count = min(len(view), start - self._position)
                break
            if self._position < start + length:
                skip = self._position - start
                part = view[: length - skip]
                count = os.preadv(self._tar.fileno(), [part], offset + skip)
                self._position += count
                return count
        else:
            count = len(view)
        view[:count] = bytes(count)
        self._position += count
        return count

    def close(self) -> None:
        """Let go of the tar."""
        self._tar.close()
        super().close()


def pieces(entry: Entry) -> list[tuple[int, int, int]]:
    """Where the bytes of a file are: (position in the file, length, offset in the tar); the rest is zeros."""
    offset = entry.offset or 0
    if entry.sparse is None:
        return [(0, entry.size, offset)] if entry.size else []
    found = []
    for position, length in entry.sparse:
        found.append((position, length, offset))
        offset += length
    return found

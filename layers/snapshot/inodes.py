"""The inodes of layers that lie on one another, as one tree: what an index of them will show.

Layers are laid on one after another, by the rules that `layers.views.tree` reads by (OCI image-spec, layer.md,
"Applying"). A deletion takes away what is here; where something of the layers below would be seen instead, it stays: as
a whiteout, or as a directory that is opaque. Names of one file share a node.
"""

from __future__ import annotations

from collections.abc import Sequence

from layers.disk.paths import encode
from layers.errors import UnsafePath
from layers.tar.entry import Entry, EntryType
from layers.tar.toc import CODES, Row, Toc, row_of
from layers.views.tree import Tree

_DIR, _HARDLINK = CODES[EntryType.DIR], CODES[EntryType.HARDLINK]
_WHITEOUT, _OPAQUE = CODES[EntryType.WHITEOUT], CODES[EntryType.OPAQUE]


class Node:
    """An inode to be: the row that tells of it, and which layer's tar holds its data."""

    __slots__ = ("links", "number", "row", "source")

    def __init__(self, row: Row, source: int) -> None:
        self.row = row
        self.source = source
        self.number = 0
        """Where it lies in an image; 0 until that is known."""
        self.links = 1


class Directory(Node):
    """A directory: what is in it, and what it says of the directory that lies below it."""

    __slots__ = ("names", "opaque", "parent", "path", "shows")

    def __init__(self, row: Row, path: str, parent: Directory | None, *, shows: bool, opaque: bool = False) -> None:
        super().__init__(row, 0)
        self.path = path
        self.parent = parent or self
        self.names: dict[bytes, Node] = {}
        self.shows = shows
        """True if what the lower directory holds is seen through it."""
        self.opaque = opaque
        """True if there is a lower directory which must not be seen."""


class Inodes:
    """The tree of some layers of a chain."""

    def __init__(self, tocs: Sequence[Toc], bottom: int, below: Tree) -> None:
        """`tocs` are those of the whole chain, lowest first; those from `bottom` on are in the tree, over `below`."""
        self._below = below
        self._positions = {id(toc): at for at, toc in enumerate(tocs)}
        self._far: dict[tuple[int, str, int], Node] = {}  # files of lower layers that have names here
        root = below.get("") or Entry("", EntryType.DIR, 0o755)
        self.root = Directory(row_of(root, None), "", None, shows=bottom > 0)
        self._places = {"": self.root}
        for at, toc in enumerate(tocs[bottom:], bottom):
            self._add(toc, at)

    @property
    def lower_sources(self) -> set[int]:
        """Layers below that hold the data of files that have names here."""
        return {node.source for node in self._far.values()}

    def _add(self, toc: Toc, source: int) -> None:
        """Lay one more layer over all that is here."""
        targets = {row[8] for row in toc.rows if row[1] == _HARDLINK}
        # What a layer links to is looked up before the layer hides anything.
        linked = {path: self._lower(path) for path in targets.difference(_files(toc))} if targets else {}
        head, parent = "", self.root
        for row in toc.rows:
            path, kind = row[0], row[1]
            if kind == _OPAQUE:
                self._hide(self._directory(path))
                continue
            if not path:
                self.root.row = row
                continue
            at, _, text = path.rpartition("/")
            name = encode(text)
            if kind == _WHITEOUT:
                self._delete(row, at, name)
                continue
            if at != head:
                head, parent = at, self._directory(at)
            if kind == _DIR:
                known = self._places.get(path)
                if known is not None:
                    known.row = row
                else:
                    self._make(path, parent, name, row)
                continue
            if kind == _HARDLINK:
                node = linked[row[8]]
            else:
                node = Node(row, source)
                if path in targets:
                    linked[path] = node
            old = parent.names.get(name)
            if isinstance(old, Directory):
                self._drop(old)
            parent.names[name] = node

    def _directory(self, path: str) -> Directory:
        """The directory of a path, made with those above it if the layer only implies it."""
        found = self._places.get(path)
        if found is not None:
            return found
        missing = []
        while (found := self._places.get(path)) is None:
            missing.append(path)
            path = path.rpartition("/")[0]
        for path in reversed(missing):
            found = self._make(path, found, encode(path.rpartition("/")[2]), None)
        return found

    def _make(self, path: str, parent: Directory, name: bytes, row: Row | None) -> Directory:
        """A new directory; one that no layer lists looks as it does below."""
        below = self._below.get(path) if parent.shows else None
        lower = below if below is not None and below.type is EntryType.DIR else None
        shows = lower is not None and name not in parent.names
        if row is None:
            row = row_of(lower if lower is not None and shows else Entry(path, EntryType.DIR, 0o755), None)
        made = Directory(row, path, parent, shows=shows, opaque=lower is not None and not shows)
        parent.names[name] = self._places[path] = made
        return made

    def _delete(self, row: Row, head: str, name: bytes) -> None:
        """Take a path away; a whiteout stays only where something of the layers below would be seen."""
        parent = self._places.get(head)
        if parent is not None and isinstance(old := parent.names.pop(name, None), Directory):
            self._drop(old)
        if self._shows(row[0]) and self._below.holds(row[0]):
            self._directory(head).names[name] = Node(row, 0)

    def _shows(self, path: str) -> bool:
        """True if the layers below decide what is at a path."""
        while True:
            path, _, name = path.rpartition("/")
            place = self._places.get(path)
            if place is not None:
                return place.shows and encode(name) not in place.names

    def _hide(self, directory: Directory) -> None:
        """Let nothing be seen in a directory that is there now.

        overlayfs does not look whether the root of a layer is opaque, so there each name is hidden by itself.
        """
        for node in directory.names.values():
            if isinstance(node, Directory):
                self._drop(node)
        directory.names.clear()
        if directory.path:
            directory.opaque, directory.shows = directory.opaque or directory.shows, False
        elif directory.shows:
            for name in self._below.children(""):
                directory.names[encode(name)] = Node(row_of(Entry(name, EntryType.WHITEOUT), None), 0)

    def _drop(self, directory: Directory) -> None:
        """Forget the places of a directory and of those in it."""
        todo: list[Node] = [directory]
        while todo:
            node = todo.pop()
            if isinstance(node, Directory):
                del self._places[node.path]
                todo += node.names.values()

    def _lower(self, path: str) -> Node:
        """The file that a link into lower layers means. Raises UnsafePath."""
        head, _, name = path.rpartition("/")
        parent = self._places.get(head)
        node = None if parent is None else parent.names.get(encode(name))
        if node is None and self._shows(path):
            entry, inode = self._below.get(path), self._below.inode(path)
            if entry is not None and entry.type is not EntryType.DIR and inode is not None:
                toc, first, again = inode
                node = self._far.get((id(toc), first, again))
                if node is None:
                    node = Node(row_of(entry, entry.offset), self._positions[id(toc)])
                    self._far[id(toc), first, again] = node
        if node is None or isinstance(node, Directory) or node.row[1] == _WHITEOUT:
            raise UnsafePath(path, "a hard link of an upper layer names it, but no file is there")
        return node


def _files(toc: Toc) -> set[str]:
    """Paths that are more than a name in this layer."""
    return {row[0] for row in toc.rows if row[1] not in (_HARDLINK, _WHITEOUT, _OPAQUE)}

"""Efficiency as dive counts it, so that rules written for dive give the same verdicts.

Each layer is a tree of the names in its tar; what counts are its leaves, by path. The score is the smallest size that
each path ever had over all the sizes that it had. A path seen at least twice is inefficient with *all* of its copies,
the one that shows included (`layers.views.waste` tells what is lost). The deletion of a directory counts what was in
it, that of a file nothing, opaque directories nothing. A deletion of what is not there ends the look at its layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from layers.disk.paths import encode
from layers.quick import dataclass
from layers.tar.entry import Entry, EntryType
from layers.tar.toc import Toc

WHITEOUT = ".wh."


@dataclass(frozen=True, slots=True)
class Node:
    """A name in a layer's tree; `entry` is None for directories that are only on the way to something."""

    path: str
    entry: Entry | None = None

    @property
    def size(self) -> int:
        """Bytes of a file; links have none."""
        return self.entry.size if self.entry is not None and self.entry.type is EntryType.FILE else 0

    @property
    def deletes(self) -> bool:
        """True for a whiteout; its path is what it deletes."""
        return self.entry is not None and self.entry.type is EntryType.WHITEOUT


@dataclass(slots=True)
class Copies:
    """What a path had over all layers: how often it was a leaf, its sizes together, the smallest of them (-1: none)."""

    path: str
    count: int = 0
    size: int = 0
    least: int = -1

    def add(self, size: int) -> None:
        """One more."""
        self.least = min(self.least, size) if self.count else size
        self.count += 1
        self.size += size


@dataclass(frozen=True, slots=True)
class Efficiency:
    """The numbers of a chain. `sizes` are those of the layers; `inefficient` has the largest first."""

    score: float
    sizes: tuple[int, ...]
    inefficient: tuple[Copies, ...]

    @property
    def wasted(self) -> int:
        """Bytes of all copies of inefficient paths."""
        return sum(copies.size for copies in self.inefficient)

    @property
    def user_ratio(self) -> float:
        """Those over the bytes of the layers above the first; infinite or no number where those have none, as in Go."""
        above = sum(self.sizes[1:])
        if above:
            return self.wasted / above
        return float("inf") if self.wasted else float("nan")


def efficiency(layers: Sequence[Toc]) -> Efficiency:
    """Look at a chain, lowest layer first."""
    found: dict[str, Copies] = {}
    inefficient: list[Copies] = []
    stack = Stack()
    sizes = []
    for at, toc in enumerate(layers):
        tree = list(nodes(toc))
        sizes.append(sum(node.size for node in tree))
        if at == 0:
            stack.put(tree)
        inner = {_head(node.path) for node in tree}
        for node in tree:
            if node.path in inner and not node.deletes:
                continue
            size = stack.weight(node.path) if node.deletes else node.size
            if size is None:
                found.setdefault(node.path, Copies(node.path))  # a path that dive began and did not finish
                break
            copies = found.setdefault(node.path, Copies(node.path))
            copies.add(size)
            if copies.count == 2:
                inefficient.append(copies)
        if at:
            stack.put(tree)
    least = sum(copies.least for copies in found.values())
    every = sum(copies.size for copies in found.values())
    inefficient.sort(key=lambda copies: copies.size)
    return Efficiency(least / every if every else 1.0, tuple(sizes), tuple(inefficient[::-1]))


def nodes(toc: Toc) -> Iterator[Node]:
    """The tree of a layer, names in order, what is in a directory before the directory; without the root."""
    found: dict[bytes, Node] = {}
    for entry in toc:
        if entry.path and entry.type is not EntryType.OPAQUE:
            path = _written(entry)
            found[_key(path)] = Node(entry.path, entry)
        place = entry.path if entry.type is EntryType.OPAQUE else _head(entry.path)
        while place and (key := _key(place)) not in found:
            found[key] = Node(place)
            place = _head(place)
    for key in sorted(found):
        yield found[key]


def written(node: Node) -> str:
    """The path of a node as it stands in a tar."""
    return node.path if node.entry is None else _written(node.entry)


class Stack:
    """The layers so far, one put over another without regard to opaque directories."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._inside: dict[str, set[str]] = {}

    def put(self, tree: Sequence[Node]) -> None:
        """One more layer."""
        for node in tree:
            if node.deletes:
                self._remove(node.path)
                continue
            self._nodes[node.path] = node
            place = node.path
            while place:
                head = _head(place)
                inside = self._inside.setdefault(head, set())
                if place in inside:
                    break
                inside.add(place)
                self._nodes.setdefault(place, Node(place))
                place = head

    def weight(self, path: str) -> int | None:
        """Bytes of all that is in a directory, 0 for a file; None if there is nothing."""
        node = self._nodes.get(path)
        if node is None:
            return None
        if node.entry is None or node.entry.type is not EntryType.DIR:
            return 0
        return sum(self._nodes[inner].size for inner in self._below(path))

    def _below(self, path: str) -> list[str]:
        """A path and all that is below it."""
        found = [path]
        for place in found:
            found += self._inside.get(place, ())
        return found

    def _remove(self, path: str) -> None:
        if path in self._nodes:
            for place in self._below(path):
                del self._nodes[place]
                self._inside.pop(place, None)
            self._inside[_head(path)].discard(path)


def _head(path: str) -> str:
    return path.rpartition("/")[0]


def _written(entry: Entry) -> str:
    if entry.type is not EntryType.WHITEOUT:
        return entry.path
    head, slash, name = entry.path.rpartition("/")
    return f"{head}{slash}{WHITEOUT}{name}"


def _key(path: str) -> bytes:
    """Sorts a directory behind what is in it."""
    return encode(path).replace(b"/", b"\0") + b"\0\xff"

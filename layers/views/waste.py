"""What a chain of layers holds that nobody sees: bytes of files which upper layers replace or delete.

Read from tables of contents alone, from the uppermost layer down, each entry once. An inode counts once however many
names it has, and shows as long as one of its names does, be it a hard link of a layer above.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from layers.quick import dataclass
from layers.tar.entry import Entry, EntryType
from layers.tar.toc import Toc


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of one file in one layer (0 the lowest), under one of its names."""

    path: str
    layer: int
    size: int


@dataclass(frozen=True, slots=True)
class Hidden:
    """Files of one layer that do not show: all that it has in a directory, whose path ends with a slash, or one."""

    path: str
    layer: int
    count: int
    size: int


@dataclass(frozen=True, slots=True)
class Waste:
    """Every file of a chain, under a name that shows, or among what is lost under its first name in the layer."""

    layers: int
    shown: tuple[Piece, ...]
    lost: tuple[Piece, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Bytes of each layer, lowest first."""
        return self._sums(chain(self.shown, self.lost))

    @property
    def hidden_sizes(self) -> tuple[int, ...]:
        """Those of them that do not show."""
        return self._sums(self.lost)

    @property
    def hidden(self) -> tuple[Hidden, ...]:
        """What is lost, the largest first: files by the highest directory of which nothing in their layer shows."""
        alive = {(piece.layer, place) for piece in self.shown for place in above(piece.path)}
        found: dict[tuple[str, int], list[int]] = {}
        for piece in self.lost:
            path = piece.path
            for place in above(piece.path):
                if (piece.layer, place) in alive:
                    break
                path = f"{place}/"
            numbers = found.setdefault((path, piece.layer), [0, 0])
            numbers[0] += 1
            numbers[1] += piece.size
        every = (Hidden(*place, *numbers) for place, numbers in found.items() if numbers[1])
        return tuple(sorted(every, key=lambda one: (-one.size, one.path, one.layer)))

    @property
    def size(self) -> int:
        """Bytes of all layers."""
        return sum(self.sizes)

    @property
    def wasted(self) -> int:
        """Bytes that do not show."""
        return sum(self.hidden_sizes)

    @property
    def user_percent(self) -> float:
        """Wasted bytes in a hundred that the layers above the first have; 0 if those have none."""
        above = sum(self.sizes[1:])
        return 100 * self.wasted / above if above else 0.0

    def _sums(self, pieces: Iterable[Piece]) -> tuple[int, ...]:
        sums = [0] * self.layers
        for piece in pieces:
            sums[piece.layer] += piece.size
        return tuple(sums)


def above(path: str) -> Iterator[str]:
    """The directories that a path is in, from the nearest up, without the root."""
    while path := path.rpartition("/")[0]:
        yield path


def waste(layers: Sequence[Toc]) -> Waste:
    """Look at a chain, lowest layer first."""
    cover = Cover()
    seen: list[Piece] = []
    lost: list[Piece] = []
    for at in reversed(range(len(layers))):
        files, shown = cover.see(layers[at])
        for path, entry in files.items():
            name = shown.get(path)
            (lost if name is None else seen).append(Piece(path if name is None else name, at, entry.size))
        cover.add(layers[at])
    return Waste(len(layers), tuple(seen), tuple(lost))


class Cover:
    """What the layers above hide of those below."""

    def __init__(self) -> None:
        self._taken: set[str] = set()  # upper layers have something there
        self._closed: set[str] = set()  # nothing below these shows
        self._linked: dict[str, str] = {}  # files of lower layers that show under another name, and that name
        self._shut: dict[str, bool] = {}

    def see(self, toc: Toc) -> tuple[dict[str, Entry], dict[str, str]]:
        """The files of a layer by first name; and of those whose bytes show, a name under which they do."""
        files: dict[str, Entry] = {}
        shown: dict[str, str] = {}
        linked: dict[str, str] = {}
        for entry in toc:
            if entry.type is EntryType.FILE:
                files[entry.path] = entry
            elif entry.type is not EntryType.HARDLINK:
                continue
            name = entry.path if self._shows(entry.path) else self._linked.get(entry.path)
            if name is None:
                continue
            first = entry.path if entry.type is EntryType.FILE else entry.linkname
            here = entry if entry.type is EntryType.FILE else toc.get(first)
            if here is None or here.type is EntryType.HARDLINK:
                linked.setdefault(first, name)
            elif here.type is EntryType.FILE:
                shown.setdefault(first, name)
        for target, name in self._linked.items():
            if not toc.holds(target) and not hides(toc, target):
                linked.setdefault(target, name)
        self._linked = linked
        return files, shown

    def add(self, toc: Toc) -> None:
        """Put a layer on top of those that are seen next."""
        for entry in toc:
            if entry.type is not EntryType.DIR:
                self._closed.add(entry.path)
            if entry.type is EntryType.WHITEOUT:
                self._taken.add(entry.path)
        self._taken.update(toc.paths())
        self._shut.clear()

    def _shows(self, path: str) -> bool:
        """True if a path of the next layer can be seen."""
        return path not in self._taken and not self._is_shut(path.rpartition("/")[0])

    def _is_shut(self, folder: str) -> bool:
        """True if nothing in a directory of the next layer can be seen."""
        asked = []
        place: str | None = folder
        while place is not None and place not in self._shut:
            asked.append(place)
            place = place.rpartition("/")[0] if place else None
        shut = place is not None and self._shut[place]
        for inner in reversed(asked):
            shut = shut or inner in self._closed
            self._shut[inner] = shut
        return shut


def hides(toc: Toc, path: str) -> bool:
    """True if what lower layers have at a path does not show through a layer that does not have the path itself."""
    if toc.deletes(path):
        return True
    while path:
        path = path.rpartition("/")[0]
        if toc.is_opaque(path) or toc.deletes(path) or (path and toc.holds(path) and not toc.is_dir(path)):
            return True
    return False

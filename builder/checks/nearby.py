"""Which of many known names somebody meant who wrote another, without comparing the word with each of them.

A slip (an insertion, a deletion, a change) breaks at most one of a name's pieces; the others stand in the word, too,
moved by as many letters as were inserted or deleted before them. So names are found by their pieces, and by the rarest
of these, for among any `slips` + 1 pieces one is whole.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate, chain, islice

from builder.dockerfile.suggest import distance
from layers.quick import dataclass, field

SLIPS = 2
PIECES = 5


class Nearby:
    """Names in their order, a shelf for each length; it keeps up with a collection that only grows, at its end."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.shelves: dict[int, Shelf] = {}

    def nearest(self, word: str, known: Collection[str]) -> str:
        """The known name fewest slips away, two at most, and the first of these; "" if there is none."""
        for name in islice(known, len(self.names), None) if len(known) > len(self.names) else ():
            self.shelves.setdefault(len(name), Shelf(self.names)).add(name)
        for slips in range(SLIPS + 1):
            near = chain.from_iterable(
                shelf.candidates(word, slips, len(word) - length)
                for length, shelf in self.shelves.items()
                if abs(len(word) - length) <= slips
            )
            for at in sorted(near):  # nobody is nearer than `slips`, so the first will do
                if distance(word, self.names[at], slips, swaps=False) <= slips:
                    return self.names[at]
        return ""


@dataclass(slots=True)
class Shelf:
    """Names of one length by their pieces. `names` are all, the numbers are places in it."""

    names: list[str]
    places: list[int] = field(default_factory=list)
    cuts: tuple[tuple[int, int], ...] = ()
    holding: list[dict[str, list[int]]] = field(default_factory=list)
    """For each piece, who has which text there."""

    def add(self, name: str) -> None:
        """Append a name to all, and put it here."""
        self.places.append(len(self.names))
        self.names.append(name)
        count = len(self.places)
        if count & (count - 1):
            self._hold(self.places[-1])
            return
        self.cuts = cuts([self.names[at] for at in self.places])  # they may differ elsewhere than half of them did
        self.holding = [{} for _ in self.cuts]
        for at in self.places:
            self._hold(at)

    def _hold(self, at: int) -> None:
        name = self.names[at]
        for (start, end), holding in zip(self.cuts, self.holding, strict=True):
            holding.setdefault(name[start:end], []).append(at)

    def candidates(self, word: str, slips: int, longer: int) -> Iterator[int]:
        """Who may be so near a word that is `longer` by so many letters; nobody else is."""
        least, most = -((slips - longer) // 2), (slips + longer) // 2
        having = []
        for (start, end), holding in zip(self.cuts, self.holding, strict=True):
            texts = {word[max(0, at) : at + end - start] for at in range(start + least, start + most + 1)}
            having.append([found for text in texts if (found := holding.get(text))])
        having.sort(key=lambda lists: sum(map(len, lists)))
        for at in set(chain.from_iterable(chain.from_iterable(having[: slips + 1]))):
            name = self.names[at]
            whole = sum(word.find(name[start:end], max(0, start + least), end + most) >= 0 for start, end in self.cuts)
            if whole >= PIECES - slips:
                yield at


def cuts(names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Where the pieces of names of one length begin and end, so that each tells as much as the others: what all of them
    have in common tells nothing. A piece may be empty.
    """
    told = [*accumulate(len(set(letters)) - 1 for letters in zip(*names, strict=True))]
    if not told:
        return ((0, 0),) * PIECES
    if not told[-1]:
        told = [*range(1, len(told) + 1)]
    ends = [
        next(at for at, so_far in enumerate(told, 1) if so_far * PIECES >= told[-1] * nth) for nth in range(1, PIECES)
    ]
    return tuple(zip([0, *ends], [*ends, len(told)], strict=True))

"""Which of many known names somebody meant who wrote another, all of them compared with the word at once.

It is Levenshtein's automaton of a word, and all names of one length go through it side by side: a state is how many
slips there were and by how many letters the word is ahead of the name, and has a bit for each name. So a letter costs a
few operations on integers, whose bits are as many as the names.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from itertools import islice

SLIPS = 2


class Nearby:
    """Names in their order, a shelf for each length; it keeps up with a collection that only grows, at its end."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._shelves: dict[int, Shelf] = {}

    def nearest(self, word: str, known: Collection[str]) -> str:
        """The known name fewest slips (insertions, deletions, changes) away, two at most, and the first of these.

        "" if there is none.
        """
        if len(known) > len(self._names):
            self._take(list(islice(known, len(self._names), None)))
        lengths = range(len(word) - SLIPS, len(word) + SLIPS + 1)
        near = (self._shelves[length].nearest(word) for length in lengths if length in self._shelves)
        _, at = min(filter(None, near), default=(0, -1))
        return self._names[at] if at >= 0 else ""

    def _take(self, names: list[str]) -> None:
        places = defaultdict[int, list[int]](list)
        for at, name in enumerate(names, len(self._names)):
            places[len(name)].append(at)
        self._names += names
        for length, found in places.items():
            shelf = self._shelves.setdefault(length, Shelf(length))
            shelf.add(found, [self._names[at] for at in found])


class Shelf:
    """Names of one length, and their places among all."""

    def __init__(self, length: int) -> None:
        self._places: list[int] = []
        self._having: list[dict[str, int]] = [{} for _ in range(length)]
        """For each place in a name the letters that stand there, and a bit for each name that has it."""

    def add(self, places: Sequence[int], names: Sequence[str]) -> None:
        """Names that come after those that are here."""
        for letters, having in zip(zip(*names, strict=True), self._having, strict=True):
            marked = defaultdict[str, bytearray](lambda: bytearray(len(names) // 8 + 1))
            for at, letter in enumerate(letters):
                marked[letter][at >> 3] |= 1 << (at & 7)
            for letter, bits in marked.items():
                having[letter] = having.get(letter, 0) | int.from_bytes(bits, "little") << len(self._places)
        self._places += places

    def nearest(self, word: str) -> tuple[int, int] | None:
        """How many slips away the nearest name is, and its place."""
        length = len(self._having)
        end = len(word) - length
        # Who is so far from where a word and a name end together that the slips left do not lead there is given up.
        states = [
            (slips, ahead)
            for slips in range(SLIPS + 1)
            for ahead in range(-slips, slips + 1)
            if abs(end - ahead) <= SLIPS - slips
        ]
        now = {state: (1 << len(self._places)) - 1 for state in states if state[0] == -state[1]}
        for at, letter in enumerate(word):
            before, now = now, {}
            for slips, ahead in states:
                found = before.get((slips - 1, ahead - 1), 0)  # the word's letter is too much
                place = at - ahead
                if 0 <= place < length:
                    found |= before.get((slips, ahead), 0) & self._having[place].get(letter, 0)
                    found |= before.get((slips - 1, ahead), 0)  # it stands for another one
                    found |= now.get((slips - 1, ahead + 1), 0)  # the one before it in the name is left out
                if found:
                    now[slips, ahead] = found
            if not now:
                return None
        for slips in range(SLIPS + 1):
            if found := now.get((slips, end), 0):
                return slips, self._places[(found & -found).bit_length() - 1]
        return None

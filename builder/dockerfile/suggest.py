"""Did you mean …? Names within two typing slips of a word."""

from collections.abc import Iterable
from os.path import commonprefix


def nearest(word: str, known: Iterable[str], *, slips: int = 2) -> tuple[str, ...]:
    """The known names that fewest insertions, deletions, changes and swaps of neighbours turn `word` into.

    Case does not count; nothing is farther than `slips`, and never so far that no letter would be left.
    """
    near = (name for name in known if abs(len(name) - len(word)) <= slips)  # the others are farther for sure
    distances = {name: distance(word.lower(), name.lower(), slips) for name in near}
    least = min((value for name, value in distances.items() if value < len(name)), default=slips + 1)
    return tuple(sorted(name for name, value in distances.items() if value == least <= slips))


def distance(left: str, right: str, most: int, *, swaps: bool = True) -> int:
    """The number of insertions, deletions, changes and swaps of neighbours between words; if it is more than `most`,
    some such number. Each pair is swapped at most once (optimal string alignment).
    """
    same = len(commonprefix((left, right)))  # noqa: RUF071 words, not paths
    left, right = left[same:], right[same:]
    before, row = list[int](), list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        before, last, row = row, before, [i]
        for j, b in enumerate(right, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if swaps and i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
        if min(row) > most and min(before) > most:
            return most + 1
    return row[-1]

"""The stat cache: what it vouches for, and that packing loses nothing."""

import json
from array import array
from collections.abc import Iterable
from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from builder.contexts.batch import UNKNOWN
from builder.contexts.statcache import RACY, StatCache
from layers.disk.stats import Stats, Status

NUMBERS = st.integers(-(2**63), 2**63 - 1)
PATHS = st.lists(
    st.text(st.characters(exclude_characters="/\0", categories=None), min_size=1), min_size=0, max_size=3
).map("/".join)


def status(inode: int, size: int, mtime: int, ctime: int) -> Status:
    """One that has these four."""
    return Status(0o100644, inode, 0, 1, size, mtime, ctime)


def many(statuses: Iterable[Status]) -> Stats:
    return Stats(array("q", chain.from_iterable(statuses)))


@given(st.dictionaries(PATHS, st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.binary(min_size=32, max_size=32))))
def test_what_is_packed_comes_back(rows: dict[str, tuple[int, int, int, int, bytes]]) -> None:
    cache = StatCache()
    for path, (*numbers, digest) in rows.items():
        cache.note(path, status(*numbers), 2**63 + RACY, digest.hex())
    again = StatCache.load(json.loads(json.dumps(cache.dump())))
    for path, (inode, size, mtime, ctime, digest) in rows.items():
        found = again.find(path, status(inode, size, mtime, ctime))
        assert found == digest.hex()
        assert again.find(path, status(inode, size ^ 1, mtime, ctime)) is None
        assert again.find(path, status(inode, size, mtime ^ 1, ctime)) is None
        assert again.find(path, status(inode, size, mtime, ctime ^ 1)) is None
    assert not again.grown()


def test_the_last_word_counts_and_a_racy_one_does_not() -> None:
    cache = StatCache()
    cache.note("a", status(1, 2, 3, 4), RACY + 5, "0" * 64)
    cache.note("b", status(9, 2, 3, 4), RACY + 5, "1" * 64)
    cache.note("a", status(1, 2, 30, 40), RACY + 41, "2" * 64)
    assert cache.find("a", status(1, 2, 30, 40)) == "2" * 64
    assert cache.find("b", status(9, 2, 3, 4)) == "1" * 64
    cache.note("a", status(1, 2, 50, 50), RACY + 50, "3" * 64)
    assert cache.find("a", status(1, 2, 50, 50)) is None


@given(st.lists(st.tuples(st.text(st.characters(exclude_characters="/\0", categories=None), min_size=1), NUMBERS)))
def test_the_files_of_a_directory_come_back_together(rows: list[tuple[str, int]]) -> None:
    names = list(dict(rows))
    statuses = [status(number & 2**62, number, 5, 6) for number in dict(rows).values()]
    digests = "".join(f"{number:064x}" for number in range(len(names)))
    for folder in ("", "a/b"):
        cache = StatCache()
        cache.note("alone", status(1, 2, 3, 4), RACY + 5, "e" * 64)
        cache.note_all(folder, names, many(statuses), RACY + 7, digests, names)
        again = StatCache.load(json.loads(json.dumps(cache.dump())))
        assert again.find_all(folder, names, many(statuses)) == digests
        assert again.find("alone", status(1, 2, 3, 4)) == "e" * 64
        for at, name in enumerate(names):
            path = f"{folder}/{name}" if folder else name
            if path != "alone":
                assert again.find(path, statuses[at]) == digests[64 * at : 64 * at + 64]
            changed = [*statuses[:at], status(9, 9, 9, 9), *statuses[at + 1 :]]
            known = again.find_all(folder, names, many(changed))
            assert known[64 * at : 64 * at + 64] in (UNKNOWN, "e" * 64)
            assert known[: 64 * at] + known[64 * at + 64 :] == digests[: 64 * at] + digests[64 * at + 64 :]


def test_of_a_directory_what_is_still_there_is_remembered() -> None:
    """Two builds that ignore different files do not make each other read everything again."""
    cache = StatCache()
    of = {name: status(number + 1, 2, 3, 4) for number, name in enumerate("abc")}
    for names in (["a", "b", "c"], ["b"]):
        digests = "".join(name * 64 for name in names)
        cache.note_all("d", names, many(of[name] for name in names), RACY + 5, digests, ["a", "b"])
    assert cache.find_all("d", ["a", "b", "c"], many(of.values())) == "a" * 64 + "b" * 64 + UNKNOWN


def test_of_a_directory_only_what_is_racy_is_read_again() -> None:
    cache = StatCache()
    stats = many([status(1, 2, 3, 4), status(2, 2, RACY, 4)])
    cache.note_all("", ["a", "b"], stats, RACY + 5, "1" * 64 + "2" * 64, ["a", "b"])
    again = StatCache.load(cache.dump())
    assert again.find_all("", ["a", "b"], stats) == "1" * 64 + UNKNOWN


def test_it_is_kept_when_that_takes_less_than_reading_again() -> None:
    names = [f"{number:04}" for number in range(1000)]
    stats = [status(number + 1, 9, 3, 4) for number in range(1000)]
    cache = StatCache()
    assert not cache.grown()
    cache.note_all("d", names, many(stats), RACY + 5, "a" * 64_000, names)
    assert cache.grown()
    again = StatCache.load(cache.dump())
    assert not again.grown()
    for at in range(40):
        stats[at] = status(at + 1, 9, 4, 4)
        again.note_all("d", names, many(stats), RACY + 5, "b" * 64_000, names)
        assert again.grown() == (at + 1 > 31)
    again = StatCache.load(cache.dump())
    again.note("large", status(1, 1 << 30, 3, 4), RACY + 5, "c" * 64)
    assert again.grown()

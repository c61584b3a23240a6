"""The stat cache: what it vouches for, and that packing loses nothing."""

import json
import os

from hypothesis import given
from hypothesis import strategies as st

from builder.statcache import RACY, StatCache

NUMBERS = st.integers(-(2**63), 2**63 - 1)
PATHS = st.lists(
    st.text(st.characters(exclude_characters="/\0", categories=None), min_size=1), min_size=0, max_size=3
).map("/".join)


def status(inode: int, size: int, mtime: int, ctime: int) -> os.stat_result:
    """One that has these four."""
    fields = [0o100644, inode, 0, 1, 0, 0, size, 0, 0, 0, *[0.0] * 3, 0, mtime, ctime]
    return os.stat_result(fields)  # nanoseconds follow the three floats


@given(
    st.dictionaries(
        PATHS, st.tuples(st.integers(0, 2**64 - 1), NUMBERS, NUMBERS, NUMBERS, st.binary(min_size=32, max_size=32))
    )
)
def test_what_is_packed_comes_back(rows: dict[str, tuple[int, int, int, int, bytes]]) -> None:
    cache = StatCache()
    for path, (*numbers, digest) in rows.items():
        cache.note(path, status(*numbers), 2**63 + RACY, digest.hex())
    again = StatCache.load(json.loads(json.dumps(cache.dump())))
    for path, (inode, size, mtime, ctime, digest) in rows.items():
        found = again.find(path, status(inode, size, mtime, ctime))
        assert found == (digest.hex() if inode < 2**63 else None)
        assert again.find(path, status(inode, size ^ 1, mtime, ctime)) is None
        assert again.find(path, status(inode, size, mtime ^ 1, ctime)) is None
        assert again.find(path, status(inode, size, mtime, ctime ^ 1)) is None
    assert not again.grown


def test_the_last_word_counts_and_a_racy_one_does_not() -> None:
    cache = StatCache()
    cache.note("a", status(1, 2, 3, 4), RACY + 5, "0" * 64)
    cache.note("b", status(9, 2, 3, 4), RACY + 5, "1" * 64)
    cache.note("a", status(1, 2, 30, 40), RACY + 41, "2" * 64)
    assert cache.find("a", status(1, 2, 30, 40)) == "2" * 64
    assert cache.find("b", status(9, 2, 3, 4)) == "1" * 64
    cache.note("a", status(1, 2, 50, 50), RACY + 50, "3" * 64)
    assert cache.find("a", status(1, 2, 50, 50)) is None

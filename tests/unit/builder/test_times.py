"""What times the files of new layers get."""

import pytest

from builder.times import Times
from layers import Entry, EntryType


@pytest.mark.parametrize("kind", [EntryType.WHITEOUT, EntryType.OPAQUE])
def test_a_deletion_has_no_time(kind: EntryType) -> None:
    gone = Entry("a", kind)
    assert Times(5, every=True).of(gone) == gone


def test_nothing_is_younger_and_with_every_nothing_is_older() -> None:
    old, new = (Entry("a", EntryType.FILE, mtime_ns=seconds * 10**9) for seconds in (4, 6))
    assert [Times(5).of(entry).mtime_ns for entry in (old, new)] == [4 * 10**9, 5 * 10**9]
    assert [Times(5, every=True).of(entry).mtime_ns for entry in (old, new)] == [5 * 10**9] * 2

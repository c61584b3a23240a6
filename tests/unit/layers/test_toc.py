"""The table of contents of a layer that was made here, and the times that its files had then."""

from array import array
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers import ArchiveInvalid, Entry, EntryType, Store
from layers.making.compose import compose
from layers.tar.tarball import ordered
from layers.tar.toc import Toc

NAMES = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=3).map("/".join)
KINDS = st.sampled_from([EntryType.DIR, EntryType.WHITEOUT, EntryType.OPAQUE])
TIMES = st.integers(-(2**60), 2**60)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[Entry], list[int]]:
    """Directories and deletions, and another time for each."""
    paths = draw(st.lists(NAMES, max_size=12, unique=True))
    entries = ordered([Entry(path, draw(KINDS), mtime_ns=draw(TIMES)) for path in paths])
    return entries, [draw(st.sampled_from([entry.mtime_ns, 7])) for entry in entries]


def asked(toc: Toc, paths: Sequence[str]) -> list[object]:
    """All that a table says."""
    return [
        [*toc],
        sorted(toc.paths()),
        [
            (
                toc.get(path),
                toc.holds(path),
                toc.is_dir(path),
                toc.deletes(path),
                toc.is_opaque(path),
                toc.hides(path),
                [*toc.children(path)],
                [*toc.mentions(path)],
                toc.touches(path),
            )
            for path in paths
        ],
    ]


@given(tables(), st.booleans())
def test_original_times_are_the_same_table_with_other_times(table: tuple[list[Entry], list[int]], kept: bool) -> None:
    entries, times = table
    toc = Toc(Toc.of(entries).rows, array("q", times))
    if kept:
        toc = Toc.loads(toc.dumps())
    others = Toc.of([
        Entry(entry.path, entry.type, mtime_ns=time) for entry, time in zip(entries, times, strict=True)
    ])  # fmt: skip
    paths = ["", *(entry.path for entry in entries), "a/b", "z"]
    assert asked(toc, paths) == asked(Toc.of(entries), paths)
    assert asked(toc.original, paths) == asked(others, paths)
    assert toc.original is toc.original


def test_without_other_times_it_is_its_own_original() -> None:
    toc = Toc.of([Entry("a", EntryType.FILE)])
    assert toc.original is toc
    assert b"times" not in toc.dumps()


def test_times_that_are_too_few_are_damage() -> None:
    rows = Toc.of([Entry("a", EntryType.FILE), Entry("b", EntryType.FILE)]).rows
    with pytest.raises(ArchiveInvalid):
        Toc.loads(Toc(rows, array("q", [1])).dumps())


def test_times_are_kept_where_they_are_others_than_the_tars(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        for name, seconds in (("same", 5), ("other", 7)):
            layer = compose(
                store, [(Entry(name, EntryType.DIR, mtime_ns=5 * 10**9), None)], None, {name: seconds * 10**9}
            )
            assert store.toc(layer.diff_id).original.is_original == (name == "other")

"""What times the files of new layers get."""

import hashlib
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.request import BuildRequest
from builder.times import EARLIEST, SPREAD, Stamp, Times, after, seconds, time_of, times_for
from layers import Entry, EntryType
from layers.tar.toc import Toc
from layers.views.changes import Change, ChangeKind
from layers.views.tree import Tree


@pytest.mark.parametrize("kind", [EntryType.WHITEOUT, EntryType.OPAQUE])
def test_a_deletion_has_no_time(kind: EntryType) -> None:
    gone = Entry("a", kind)
    assert Times(5, every=True).of(gone) == gone


def test_nothing_is_younger_and_with_every_nothing_is_older() -> None:
    old, new = (Entry("a", EntryType.FILE, mtime_ns=seconds * 10**9) for seconds in (4, 6))
    assert [Times(5).of(entry).mtime_ns for entry in (old, new)] == [4 * 10**9, 5 * 10**9]
    assert [Times(5, every=True).of(entry).mtime_ns for entry in (old, new)] == [5 * 10**9] * 2


@given(st.builds(Times, st.integers(0, 2**33), st.booleans(), st.booleans()))
def test_what_a_key_says_is_read_again(times: Times) -> None:
    again = Times.parse(str(times))
    assert again is not None
    assert (again.epoch, again.every, again.inputs) == (times.epoch, times.every, times.inputs and not times.every)


@given(st.integers(0, 2**62), st.integers(0, 2**62), st.text("0123456789abcdef", min_size=64, max_size=64))
def test_the_time_of_a_copied_file_follows_from_what_it_holds(one: int, two: int, content: str) -> None:
    times = Times(EARLIEST, inputs=True)
    found = times.copied(one, content)
    assert found == times.copied(two, content)
    assert (EARLIEST - SPREAD) * 10**9 < found <= EARLIEST * 10**9
    assert times.copied(one) == EARLIEST * 10**9
    assert Times(5).copied(one, content) == min(one, 5 * 10**9)


def test_another_content_has_another_time() -> None:
    times = Times(1_700_000_000, inputs=True)
    digests = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(1000)]
    assert len({times.copied(0, digest) for digest in digests}) > 990


def test_what_was_not_touched_keeps_the_time_of_its_layer() -> None:
    """A file is copied up by chmod: its time is that of a context, which the layer below does not have."""

    def tree(seconds: int) -> Tree:
        return Tree([(Toc.of([Entry("a", EntryType.FILE, mtime_ns=seconds * 10**9)]), io.BytesIO)])

    stamp = Stamp(Times(100, inputs=True), below=tree(77), told=tree(55))

    def given(kind: ChangeKind, seconds: int) -> int:
        return stamp(Change(kind, Entry("a", EntryType.FILE, 0o700, mtime_ns=seconds * 10**9))).mtime_ns // 10**9

    assert given(ChangeKind.MODIFIED, 77) == 55
    assert given(ChangeKind.MODIFIED, 78) == 78
    assert given(ChangeKind.ADDED, 77) == 77
    assert given(ChangeKind.MODIFIED, 101) == 100
    gone = Change(ChangeKind.REMOVED, Entry("a", EntryType.WHITEOUT))
    assert stamp(gone) == gone.entry


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2023-11-14T22:13:20Z", 1_700_000_000),
        ("2023-11-14T22:13:20.123456789Z", 1_700_000_001),
        ("2023-11-14T23:13:20.5+01:00", 1_700_000_001),
        ("yesterday", -1),
        ("", -1),
        ("0001-01-01T00:00:00Z", -62_135_596_800),
    ],
)
def test_times_of_images_as_they_are_written(text: str, said: int) -> None:
    assert seconds(text) == said


def test_what_decides_the_times_of_a_step() -> None:
    plain = BuildRequest(context=Path())
    assert times_for(plain, "2023-11-14T22:13:20Z") == Times(1_700_000_000, inputs=True)
    assert times_for(BuildRequest(context=Path(), clock=True), "2023-11-14T22:13:20Z") is None
    assert times_for(BuildRequest(context=Path(), epoch=5), "2023-11-14T22:13:20Z") is None
    asked = Times(5)
    assert times_for(BuildRequest(context=Path(), epoch=5, times=asked), "2023-11-14T22:13:20Z") is asked
    assert time_of(plain, None) == "1980-01-14T03:16:16Z"


def test_a_layer_is_as_young_as_its_youngest_file() -> None:
    table = Toc.of([Entry("a", EntryType.FILE, mtime_ns=1_700_000_000 * 10**9), Entry("b", EntryType.WHITEOUT)])
    assert after("1980-01-14T03:16:16Z", table) == "2023-11-14T22:13:20Z"
    assert after("2024-01-01T00:00:00.123456789Z", table) == "2024-01-01T00:00:00.123456789Z"
    assert after("2024-01-01T00:00:00Z", Toc([])) == "2024-01-01T00:00:00Z"

"""Maps of ids: what is inside and outside, and what a mount's map has besides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.ids import ALL, FIRST, MOST, Ids, Range, across, for_mounts, lines, read, turned
from runner.owners import covered

starts = st.integers(0, 2**31)


def test_auto_gives_everybody_a_number_that_nobody_has_outside() -> None:
    ids = Ids.auto()
    assert ids.outside(0, 33) == (FIRST, FIRST + 33)
    assert ids.outside(3 * 10**9, 0)[0] < MOST
    assert ids.inside(*ids.outside(1000, 7)) == (1000, 7)
    assert ids.moves and not Ids.same().moves
    with pytest.raises(KeyError, match=f"user {MOST - 1} has no number"):
        ids.outside(MOST - 1, 0)


@given(starts, st.integers(1, 2**31 - 2), st.integers(0, MOST - 1))
def test_there_and_back(outside: int, size: int, number: int) -> None:
    ranges = (Range(0, outside, size),)
    there = across(ranges, number)
    assert (there is None) == (number >= size)
    if there is not None:
        assert across(turned(ranges), there) == number


@given(starts, st.integers(1, 2**31 - 2))
def test_in_mounts_the_hosts_root_has_a_number_and_nobody_elses(outside: int, size: int) -> None:
    mapped = for_mounts((Range(0, outside, size),))
    root = across(turned(mapped), 0)
    assert root is not None and (outside == 0) == (root == 0)
    assert outside == 0 or across((Range(0, outside, size),), root) is None


@pytest.mark.parametrize(
    "text", ["", "0", "0:1", "0:1:", "a:0:1", "-1:0:1", "0:0:0", "0:1:4294967295", "0:0:1:1", "²:0:1"]
)
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(ValueError, match="id map"):
        Range.parse(text)


@pytest.mark.parametrize(
    ("uids", "words"),
    [(["1:0:5"], "no number for 0"), (["0:5:5", "4:20:1"], "twice"), (["0:5:5", "10:9:1"], "twice")],
)
def test_maps_that_no_kernel_takes(uids: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Ids.parse(uids, [])


def test_the_kernels_files_are_read_and_written() -> None:
    assert read("         0          0 4294967295\n") == ALL
    ranges = (Range(0, 1000, 1), Range(1, 100000, 65536))
    assert lines(ranges) == b"0 1000 1\n1 100000 65536\n"
    assert read(lines(ranges).decode()) == ranges


@pytest.mark.parametrize(
    ("points", "hidden"),
    [(["/", "/proc", "/sys"], ""), (["/proc", "/proc/kcore"], "/proc/kcore"), (["/proc/sys/fs/binfmt_misc"], "")],
)
def test_a_proc_that_is_partly_hidden(points: list[str], hidden: str) -> None:
    text = "".join(f"22 1 0:21 / {point} rw - proc proc rw\n" for point in points)
    assert covered(text) == hidden

"""Columns of what lstat(2) says: nothing that counts is lost."""

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from layers.disk.stats import Stats, Status

NUMBERS = st.integers(-(2**63), 2**63 - 1)
UNSIGNED = st.integers(0, 2**64 - 1)


def status(mode: int, inode: int, size: int, mtime: int, ctime: int) -> os.stat_result:
    """One that has these."""
    return os.stat_result([mode, inode, 3, 1, 5, 6, size, 0, 0, 0, *[0.0] * 3, 0, mtime, ctime, 0, 0, 0])


@given(st.lists(st.tuples(st.integers(0, 0o177777), UNSIGNED, NUMBERS, NUMBERS, NUMBERS), max_size=9))
def test_rows_and_columns(rows: list[tuple[int, int, int, int, int]]) -> None:
    found = [status(*row) for row in rows]
    stats = Stats.of(found)
    assert len(stats) == len(rows)
    assert [stats[at] for at in range(len(rows))] == list(map(Status.of, found))
    assert stats.column("mode").tolist() == [row[0] for row in rows]
    assert [inode % 2**64 for inode in stats.column("ino")] == [row[1] for row in rows]
    assert [stats.part(1, 3)[at] for at in range(len(stats.part(1, 3)))] == list(map(Status.of, found[1:3]))
    assert stats.chosen(range(0, len(rows), 2)).column("size").tolist() == [row[2] for row in rows[::2]]


def test_names_do_not_make_another_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"text")
    before = Status.of(file.stat())
    os.link(file, tmp_path / "twin")
    assert Status.of(file.stat()) != before
    assert Status.of(file.stat()).same(before)
    file.chmod(0o600)
    assert not Status.of(file.stat()).same(before)

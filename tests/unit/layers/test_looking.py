"""What layers hide, and who made what: told from tables of contents, and true of the merged tree."""

import gc
import io
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layers import ArchiveInvalid, Entry, EntryType, Toc, Tree, UnsafePath
from layers.views.changes import ChangeKind
from layers.views.versions import Versions
from layers.views.waste import Waste, waste
from tests.support.recipes import Member, tar_of
from tests.unit.layers.test_layer_rules import hard, member, soft


def opener(raw: bytes, folder: Path) -> Callable[[], BinaryIO]:
    path = folder / str(len(list(folder.iterdir())))
    path.write_bytes(raw)
    return lambda: path.open("rb", buffering=0)


def never() -> BinaryIO:
    raise AssertionError("the bytes of a layer were asked for")


def tocs(*layers: list[Member]) -> list[Toc]:
    return [Toc.scan(io.BytesIO(tar_of(members))) for members in layers]


def hidden(found: Waste) -> list[tuple[str, int, int]]:
    """Path, versions that do not show, their bytes; the largest first."""
    paths = sorted({piece.path for piece in found.lost if piece.size})
    sizes = [(path, [piece.size for piece in found.lost if piece.path == path and piece.size]) for path in paths]
    return sorted(((path, len(each), sum(each)) for path, each in sizes), key=lambda one: (-one[2], one[0]))


BASE: list[Member] = [("d", None), ("d/a", b"1"), ("d/b", b"22"), ("d/e/f", b"333"), ("x", b"4444")]


@pytest.mark.parametrize(
    ("upper", "lost"),
    [
        ([], []),
        ([[("x", b"5")]], [("x", 1, 4)]),
        ([[("x", b"5")], [("x", b"")]], [("x", 2, 5)]),
        ([[(".wh.x", b"")]], [("x", 1, 4)]),
        ([[(".wh.d", b"")]], [("d/e/f", 1, 3), ("d/b", 1, 2), ("d/a", 1, 1)]),
        ([[("d/.wh..wh..opq", b""), ("d/n", b"n")]], [("d/e/f", 1, 3), ("d/b", 1, 2), ("d/a", 1, 1)]),
        ([[(".wh.d", b"")], [("d/b", b"22")]], [("d/e/f", 1, 3), ("d/b", 1, 2), ("d/a", 1, 1)]),
        ([[("d", b"")], [("d/b", b"22")]], [("d/e/f", 1, 3), ("d/b", 1, 2), ("d/a", 1, 1)]),
        ([[("d/e", soft("x"))]], [("d/e/f", 1, 3)]),
        ([[("x", None)]], [("x", 1, 4)]),
        ([[(".wh..wh..opq", b"")]], [("x", 1, 4), ("d/e/f", 1, 3), ("d/b", 1, 2), ("d/a", 1, 1)]),
        ([[("l", hard("x"))], [(".wh.x", b"")]], []),
        ([[("l", hard("x"))], [(".wh.x", b"")], [(".wh.l", b"")]], [("x", 1, 4)]),
        ([[("l", hard("x"))], [("x", b"5")], [("m", hard("x")), (".wh.x", b"")]], []),
        ([[("p", b"66"), ("q", hard("p"))], [(".wh.p", b"")]], []),
        ([[("p", b"66"), ("q", hard("p"))], [(".wh.p", b""), (".wh.q", b"")]], [("p", 1, 2)]),
    ],
)
def test_what_is_hidden(upper: list[list[Member]], lost: list[tuple[str, int, int]]) -> None:
    found = waste(tocs(BASE, *upper))
    assert hidden(found) == lost
    assert found.wasted == sum(size for *_, size in lost)


def test_bytes_of_layers_and_what_is_above_the_first() -> None:
    found = waste(tocs(BASE, [("x", b"55")], [("x", b"666")]))
    assert (found.sizes, found.hidden_sizes) == ((10, 2, 3), (4, 2, 0))
    assert (found.size, found.wasted, found.user_percent) == (15, 6, 120.0)
    assert waste(tocs(BASE)).user_percent == 0
    assert waste([]) == Waste(0, (), ())


def test_hidden_files_are_told_by_the_directory_of_which_nothing_shows() -> None:
    found = waste(
        tocs(
            [("d", None), ("d/a", b"1"), ("d/e/f", b"22"), ("d/e/g/h", b"333"), ("k/l", b"4444"), ("k/m", b"")],
            [("d", None), ("d/a", b"55"), (".wh.k", b""), ("n/o/p", b"6" * 9), ("n/q", b"")],
            [("d/.wh.e", b""), (".wh.n", b""), ("d/a", b"7")],
        )
    )
    assert [(each.path, each.layer, each.count, each.size) for each in found.hidden] == [
        ("n/", 1, 2, 9),
        ("d/", 0, 3, 6),
        ("k/", 0, 2, 4),
        ("d/", 1, 1, 2),
    ]
    found = waste(tocs([("d/a", b"1"), ("d/e/f", b"22"), ("d/e/g", b"3"), ("x", b"4")], [("d/.wh.e", b""), ("x", b"")]))
    assert [(each.path, each.count, each.size) for each in found.hidden] == [("d/e/", 2, 3), ("x", 1, 1)]


def test_a_sparse_file_counts_as_long_as_it_is() -> None:
    sparse = Entry("s", EntryType.FILE, 0o644, size=1 << 30, offset=512, sparse=((0, 1), (5000, 7)))
    found = waste([Toc.of([sparse]), Toc.of([Entry("s", EntryType.WHITEOUT)])])
    assert hidden(found) == [("s", 1, 1 << 30)]
    ((at, entry),) = [
        Versions([Toc.of([sparse])]).data(each) or (9, None) for each in Versions([Toc.of([sparse])]).of("s")
    ]
    assert (at, entry and entry.sparse) == (0, sparse.sparse)


@given(st.lists(st.lists(member, max_size=6), max_size=4))
@settings(deadline=None)
def test_what_shows_is_what_the_tree_shows(layers: list[list[Any]]) -> None:
    try:
        found = tocs(*layers)
    except (UnsafePath, ArchiveInvalid):
        return
    tree = Tree([(toc, never) for toc in found])
    inodes = {}
    for entry in tree.walk():
        if entry.type is EntryType.FILE:
            inodes[tree.inode(entry.path)] = entry.size
    told = waste(found)
    assert told.size - told.wasted == sum(inodes.values()) == sum(each.size for each in told.shown)
    assert len(told.shown) == len(inodes)
    for each in told.shown:
        at = tree.inode(each.path)
        assert at is not None
        assert at[0] is found[each.layer]
        assert inodes[at] == each.size


@given(st.lists(st.lists(member, max_size=6), max_size=4))
@settings(deadline=None)
def test_the_newest_version_is_what_the_tree_shows(layers: list[list[Any]]) -> None:
    try:
        found = tocs(*layers)
    except (UnsafePath, ArchiveInvalid):
        return
    tree, book = Tree([(toc, never) for toc in found]), Versions(found)
    shown = {entry.path: entry for entry in tree.walk() if entry.path}
    paths = book.matching(re.compile(".*", re.DOTALL))
    assert shown.keys() <= set(paths)
    for path in paths:
        versions = book.of(path)
        assert [each.layer for each in versions] == sorted({each.layer for each in versions}, reverse=True)
        assert versions[-1].kind is ChangeKind.ADDED
        removed = versions[0].kind is ChangeKind.REMOVED
        entry = shown.get(path)
        if removed or entry is None:
            # a hard link to what is nowhere is in a layer, yet nothing is there
            assert entry is None
            assert removed or (versions[0].entry is not None and versions[0].entry.type is EntryType.HARDLINK)
        elif entry.type is EntryType.FILE:
            place, inode = book.data(versions[0]), tree.inode(path)
            assert place is not None
            assert inode is not None
            assert (found[place[0]], place[1].path, place[1].size) == (inode[0], inode[1], entry.size)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("d", "A0"),
        ("d/a", "D4 by d/a, A3, D2 by d, C1, A0"),
        ("d/b", "D2 by d, A0"),
        ("d/e", "D2 by d, A0"),
        ("d/n", "A3"),
        ("x", "C4, A0"),
        ("x/y", "A4"),
        ("l", "A1"),
        ("m", "D2 by m, A1"),
        ("nothing", ""),
    ],
)
def test_who_made_what(path: str, told: str) -> None:
    book = Versions(
        tocs(
            BASE,
            [("d", None), ("d/a", b"9"), ("l", hard("x")), ("m", soft("x"))],
            [("d/.wh..wh..opq", b""), (".wh.m", b"")],
            [("d/a", b"7"), ("d/n", b"")],
            [("d/.wh.a", b""), ("x/y", b"")],
        )
    )
    words = [
        f"{each.kind.value}{each.layer}" + (f" by {each.by}" if each.kind is ChangeKind.REMOVED else "")
        for each in book.of(path)
    ]
    assert ", ".join(words) == told


def test_the_bytes_of_a_link_are_where_its_file_is() -> None:
    book = Versions(tocs(BASE, [("l", hard("x"))], [("x", b"other"), ("m", hard("l"))]))
    for name in ("l", "m"):
        place = book.data(book.of(name)[0])
        assert place is not None
        assert (place[0], place[1].path, place[1].size) == (0, "x", 4)
    assert book.data(book.of("d")[0]) is None


def test_five_hundred_layers_and_fifty_thousand_entries_take_time_in_proportion() -> None:
    def layer(number: int, count: int) -> Toc:
        return Toc.of(
            [
                Entry("usr", EntryType.DIR, 0o755),
                *(Entry(f"usr/f{at:06}", EntryType.FILE, 0o644, size=number + 1, offset=512) for at in range(count)),
            ]
        )

    def cost(stack: list[Toc]) -> float:
        gc.disable()  # what other tests have left is not looked through on our time
        try:
            began = time.process_time()
            found = waste(stack)
            for path in ("usr", "usr/f000007", "no/such/path"):
                Versions(stack).of(path)
            spent = time.process_time() - began
        finally:
            gc.enable()
        assert found.wasted == sum(sum(each.size for each in toc) for toc in stack[:-1])
        return spent

    high = [layer(number, 100) for number in range(500)]
    wide = [layer(0, 25_000), layer(1, 25_000)]
    quarter = [layer(0, 6_250), layer(1, 6_250)]
    unit = min(cost(quarter) for _ in range(4))
    assert min(cost(wide) for _ in range(2)) < 10 * unit  # in proportion 4, by the square 16
    assert min(cost(high) for _ in range(2)) < 20 * unit

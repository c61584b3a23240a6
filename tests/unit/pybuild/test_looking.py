"""How differences, layers and odd names are put into words."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers import Entry, EntryType, Toc, Tree
from layers.views.treediff import diff
from pybuild.formats.layertree import lines
from pybuild.formats.names import quoted, shown
from pybuild.formats.reasons import words
from tests.support.recipes import Member, tar_of
from tests.unit.layers.test_layer_rules import hard, soft


def never() -> BinaryIO:
    raise AssertionError("the bytes of a layer were asked for")


def layer(*members: Member) -> tuple[Toc, Callable[[], BinaryIO]]:
    return Toc.scan(io.BytesIO(tar_of(members))), never


def one_file(**fields: Any) -> Tree:
    return Tree([(Toc.of([Entry("f", **{"type": EntryType.FILE, "mode": 0o644, **fields})]), never)])


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ({"mode": 0o644}, {"mode": 0o4755}, {"mode": "0644 -> 4755"}),
        ({}, {"uid": 1000, "gid": 50}, {"owner": "0:0 -> 1000:50"}),
        ({"size": 9}, {"size": 2000}, {"content": "9B -> 2kB"}),
        ({"size": 2_000_000}, {"size": 2_000_001}, {"content": "2000000 bytes -> 2000001 bytes"}),
        ({}, {"type": EntryType.SYMLINK, "linkname": "x"}, {"type": "file -> symlink"}),
        (
            {"type": EntryType.CHAR, "major": 1, "minor": 3},
            {"type": EntryType.CHAR, "major": 1, "minor": 5},
            {"type": "char 1:3 -> char 1:5"},
        ),
        (
            {"type": EntryType.SYMLINK, "linkname": "a"},
            {"type": EntryType.SYMLINK, "linkname": "b\n"},
            {"link": 'a -> "b\\n"'},
        ),
        (
            {"xattrs": {"user.same": b"1", "user.gone": b"\1"}},
            {"xattrs": {"user.same": b"1", "user.new": b""}},
            {"xattr": "user.gone=01 -> user.new=empty"},
        ),
        ({}, {"xattrs": {"user.a": b"\xff"}}, {"xattr": "none -> user.a=ff"}),
        ({}, {"mtime_ns": 1_500_000_000}, {"mtime": "1970-01-01T00:00:00Z -> 1970-01-01T00:00:01.5Z"}),
        (
            {"mtime_ns": -1},
            {"mtime_ns": 10**21},
            {"mtime": "1969-12-31T23:59:59.999999999Z -> @1000000000000"},
        ),
        ({"mode": 0o600}, {"uid": 7}, {"mode": "0600 -> 0644", "owner": "0:0 -> 7:0"}),
    ],
)
def test_reasons_in_words(old: dict[str, Any], new: dict[str, Any], told: dict[str, str]) -> None:
    before, after = one_file(**old), one_file(**new)
    (found,) = diff(before, after, reasons=True)
    assert words(found, before, after) == told


def test_two_contents_of_one_size_are_told_by_their_digests(tmp_path: Path) -> None:
    def tree(content: bytes) -> Tree:
        path = tmp_path / content.decode()
        path.write_bytes(tar_of([("f", content)]))
        with path.open("rb") as raw:
            return Tree([(Toc.scan(raw), lambda: path.open("rb", 0))])

    before, after = tree(b"1"), tree(b"2")
    (found,) = diff(before, after, reasons=True)
    assert words(found, before, after) == {"content": "sha256:6b86b273ff34 -> sha256:d4735e3a265e"}


def test_a_layer_as_a_tree() -> None:
    below = Tree(
        [
            layer(
                ("d", None),
                ("d/a", b"1"),
                ("d/b", b"22"),
                ("e", None),
                ("e/f", b"3" * 2000),
                ("e/g/h", b"44"),
                ("x", b"5"),
            )
        ]
    )
    upper, _ = layer(
        *(("d", None), ("d/.wh..wh..opq", b""), ("d/b", b"333"), (".wh.e", b""), (".wh.never", b"")),
        *(("n/m", b"6"), ("n/l", hard("n/m")), ("s", soft("odd\n")), ("x", None)),
    )
    assert list(lines(upper, below)) == [
        "             /",
        "             ├── d/",
        "D        1B  │   ├── a",
        "M        3B  │   └── b",
        "D       2kB  ├── e/ with 3 paths",
        "A            ├── n/",
        "A        1B  │   ├── l",
        "A            │   └── m = n/l",
        "D            ├── never (which is not there)",
        'A            ├── s -> "odd\\n"',
        "M            └── x/",
    ]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/plain/ünï with blank", "/plain/ünï with blank"),
        ("/back\\slash and \"quote\"", "/back\\slash and \"quote\""),
        ("/a\nb", '"/a\\nb"'),
        ('/"\x1b[2J\\', '"/\\"\\033[2J\\\\"'),
        ("/\udcff", '"/\\377"'),
        ("/\u202egnp", '"/\\342\\200\\256gnp"'),
        ("/\x85\x9b", '"/\\302\\205\\302\\233"'),
    ],
)  # fmt: skip
def test_names_in_lines(path: str, told: str) -> None:
    assert shown(path) == told


@given(st.binary(max_size=20))
def test_quoted_names_are_one_line_and_lose_nothing(raw: bytes) -> None:
    told = quoted(raw.decode("utf-8", "surrogateescape"))
    assert told.isprintable() or all(char.isprintable() or ord(char) > 0xA0 for char in told)
    assert len(told.splitlines()) == 1
    plain = told[1:-1].encode().decode("unicode_escape").encode("latin-1")
    assert plain == raw

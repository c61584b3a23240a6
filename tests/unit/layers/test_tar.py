"""Tars as we write them, and tars as others do: the standard library and GNU tar are the oracles."""

import io
import os
import subprocess
import tarfile
from array import array
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers import ArchiveInvalid, Entry, EntryType, UnsafePath
from layers.disk.paths import Root, decode, encode
from layers.disk.stats import Stats, Status
from layers.quick import replace
from layers.tar.entry import SECOND
from layers.tar.header import header, plain_headers
from layers.tar.plain import PlainFiles
from layers.tar.tarball import TarWriter, order, ordered
from layers.tar.tarread import entries

KINDS = {
    tarfile.REGTYPE: EntryType.FILE,
    tarfile.LNKTYPE: EntryType.HARDLINK,
    tarfile.SYMTYPE: EntryType.SYMLINK,
    tarfile.CHRTYPE: EntryType.CHAR,
    tarfile.BLKTYPE: EntryType.BLOCK,
    tarfile.DIRTYPE: EntryType.DIR,
    tarfile.FIFOTYPE: EntryType.FIFO,
}
CODES = {kind: code for code, kind in KINDS.items()}
DELETIONS = (EntryType.WHITEOUT, EntryType.OPAQUE)

names = st.binary(min_size=1, max_size=90).filter(lambda raw: b"/" not in raw and b"\0" not in raw)
parts = names.filter(lambda raw: raw not in (b".", b"..") and not raw.startswith(b".wh."))
paths = st.lists(parts, min_size=1, max_size=5).map(lambda found: decode(b"/".join(found)))


@st.composite
def members(draw: st.DrawFn) -> Entry:
    """One entry with all that its kind can have."""
    kind = draw(st.sampled_from(sorted(CODES)))
    device = st.integers(0, 2_097_151) if kind in (EntryType.CHAR, EntryType.BLOCK) else st.just(0)
    link = {EntryType.SYMLINK: names.map(decode), EntryType.HARDLINK: paths}.get(kind, st.just(""))
    keys = st.sampled_from(["user.a", "security.capability", "trusted.x=y", "user.ünï"])
    return Entry(
        draw(paths),
        kind,
        draw(st.integers(0, 0o7777)),
        draw(st.integers(0, 0xFFFFFFFE)),
        draw(st.integers(0, 0xFFFFFFFE)),
        draw(st.integers(0, 1300)) if kind is EntryType.FILE else 0,
        draw(st.integers(-(10**18), 10**19)),
        draw(link),
        draw(device),
        draw(device),
        draw(st.dictionaries(keys, st.binary(max_size=20), max_size=3)),
    )


def written(items: list[tuple[Entry, bytes]]) -> tuple[bytes, list[int]]:
    sink = io.BytesIO()
    tar = TarWriter(sink.write)
    offsets = [tar.add(entry, data) for entry, data in items]
    assert tar.close() == sink.tell()
    return sink.getvalue(), offsets


def read(raw: bytes) -> list[Entry]:
    return list(entries(io.BytesIO(raw)))


def plain(entry: Entry) -> Entry:
    return replace(entry, xattrs=dict(entry.xattrs), offset=None)


@given(st.lists(members(), max_size=4))
def test_what_is_written_is_read_again_by_us_and_by_others(items: list[Entry]) -> None:
    raw, offsets = written([(entry, bytes([7]) * entry.size) for entry in items])
    found = read(raw)
    assert [plain(entry) for entry in found] == items
    assert [entry.offset for entry in found if entry.type is EntryType.FILE] == [
        offset for offset, entry in zip(offsets, items, strict=True) if entry.type is EntryType.FILE
    ]
    with tarfile.open(fileobj=io.BytesIO(raw), errors="surrogateescape", encoding="utf-8") as tar:
        for member, entry in zip(tar, items, strict=True):
            assert KINDS[member.type] is entry.type
            assert encode(member.name.rstrip("/")) == encode(entry.path)
            assert (member.mode, member.uid, member.gid, member.size) == (entry.mode, entry.uid, entry.gid, entry.size)
            assert encode(member.linkname) == encode(entry.linkname)
            assert member.mtime == pytest.approx(entry.mtime_ns / 1e9)


@given(st.lists(members(), max_size=3))
def test_others_writing_is_read(items: list[Entry]) -> None:
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=form, encoding="utf-8", errors="surrogateescape") as tar:
            for entry in items:
                member = tarfile.TarInfo(entry.path)
                member.type, member.mode, member.linkname = CODES[entry.type], entry.mode, entry.linkname
                member.uid, member.gid, member.size = entry.uid, entry.gid, entry.size
                member.mtime = entry.mtime_ns // SECOND
                member.devmajor, member.devminor = entry.major, entry.minor
                tar.addfile(member, io.BytesIO(bytes(entry.size)))
        wanted = [replace(entry, xattrs={}, mtime_ns=entry.mtime_ns // SECOND * SECOND) for entry in items]
        assert [plain(entry) for entry in read(buffer.getvalue())] == wanted


@given(st.binary(max_size=3000))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        read(data)
    except (ArchiveInvalid, UnsafePath):
        pass


@given(st.lists(members(), min_size=1, max_size=2), st.data())
def test_damaged_tars_are_read_or_refused(items: list[Entry], data: st.DataObject) -> None:
    raw = bytearray(written([(entry, bytes(entry.size)) for entry in items])[0])
    for _ in range(3):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        read(bytes(raw))
    except (ArchiveInvalid, UnsafePath):
        pass


def member(name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", **more: Any) -> bytes:
    """The blocks of one member, by the standard library."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(content)
    for key, value in more.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.PAX_FORMAT) + content + bytes(-len(content) % 512)


def with_checksum(block: bytes) -> bytes:
    blank = block[:148] + b" " * 8 + block[156:]
    return block[:148] + b"%06o\0 " % sum(blank) + block[156:]


def test_headers_that_lie_are_refused_with_the_place() -> None:
    good = member("a", content=b"data")
    bad = bytearray(good)
    bad[0] ^= 1
    with pytest.raises(ArchiveInvalid, match="byte 1024: the checksum"):
        read(good + bytes(bad))
    negative = with_checksum(good[:124] + b"\xff" * 12 + good[136:512])
    with pytest.raises(ArchiveInvalid, match="negative"):
        read(negative)
    with pytest.raises(ArchiveInvalid, match="too early"):
        read(member("a", content=bytes(2000))[:1024])
    with pytest.raises(ArchiveInvalid, match="inside a header"):
        read(good + good[:100])
    with pytest.raises(ArchiveInvalid, match="unknown"):
        read(with_checksum(good[:156] + b"Z" + good[157:512]))
    with pytest.raises(ArchiveInvalid, match="one zero block"):
        read(bytes(512) + good)
    assert len(read(good + bytes(1024) + b"whatever follows")) == 1
    assert len(read(good)) == 1, "many writers leave the end mark out"


@pytest.mark.parametrize(
    "body", [b"0 path=x\n", b"999999 path=x\n", b"9 path=xy\n", b"abc path=x\n", b"-1 a=b\n", b"6 =b\n"]
)
def test_pax_records_that_lie_are_refused(body: bytes) -> None:
    with pytest.raises(ArchiveInvalid, match="PAX"):
        read(member("pax", b"x", body) + member("a"))


def test_global_headers_are_not_obeyed() -> None:
    assert [entry.path for entry in read(member("pax", b"g", b"14 path=other\n"[:14]) + member("a"))] == ["a"]


def test_a_huge_extended_header_is_refused_unread() -> None:
    head = with_checksum(member("pax", b"x")[:124] + b"77777777777\0" + member("pax", b"x")[136:512])
    with pytest.raises(ArchiveInvalid, match="at most"):
        read(head)


def test_old_ways_are_read() -> None:
    slashed = member("old/")
    found = read(with_checksum(slashed[:156] + b"\0" + slashed[157:]))
    assert [(entry.path, entry.type) for entry in found] == [("old", EntryType.DIR)]
    contiguous = member("a", content=b"x")
    assert read(with_checksum(contiguous[:156] + b"7" + contiguous[157:512]) + contiguous[512:])[0].size == 1
    link = member("l", tarfile.SYMTYPE, linkname="t")
    sized = with_checksum(link[:124] + b"00000000100\0" + link[136:])
    assert [entry.path for entry in read(sized + member("b"))] == ["l", "b"], "a link's size is not followed by data"


@pytest.mark.parametrize("name", ["../x", "a/../../x", "a/..", ""])
def test_names_that_leave_are_refused(name: str) -> None:
    with pytest.raises(UnsafePath):
        read(member(name))


@pytest.mark.parametrize("name", ["/etc/x", "./etc/x", "etc//x", "etc/./x"])
def test_names_are_made_plain(name: str) -> None:
    assert read(member(name))[0].path == "etc/x"


@pytest.mark.parametrize(
    "form", [["--format=gnu"], *(["--format=pax", f"--sparse-version={version}"] for version in ("0.0", "0.1", "1.0"))]
)
def test_sparse_files_of_gnu_tar(tmp_path: Path, form: list[str]) -> None:
    from layers.views.tree import Content

    file = tmp_path / "holes"
    with file.open("wb") as target:
        for number in range(60):  # more pieces than one header holds
            target.seek(number * 70_000)
            target.write(b"%05d" % number)
        target.truncate(5_000_000)
    subprocess.run(["tar", "-C", tmp_path, *form, "--sparse", "-cf", tmp_path / "tar", "holes"], check=True)
    with (tmp_path / "tar").open("rb") as tar:
        (entry,) = entries(tar)
        assert (entry.path, entry.size) == ("holes", 5_000_000)
        assert entry.sparse, "the file system keeps holes"
        assert os.stat(tmp_path / "tar").st_size < 1_000_000
        with io.BufferedReader(Content(tar, entry)) as content:
            assert content.read() == file.read_bytes()


def test_gnu_tar_reads_ours(tmp_path: Path) -> None:
    long = "/".join(["longer than the prefix of a header can be"] * 9)
    items = [
        (Entry("dir", EntryType.DIR, 0o750, mtime_ns=1_500_000_000), b""),
        (Entry("dir/ünï", EntryType.FILE, 0o640, size=600, mtime_ns=1_234_567_890_123_456_789), b"x" * 600),
        (Entry(long, EntryType.FILE, 0o600, size=1), b"y"),
        (Entry("link", EntryType.SYMLINK, 0o777, linkname="t" * 200), b""),
    ]
    raw, _ = written(items)
    subprocess.run(["tar", "-C", tmp_path, "-xpf", "-"], input=raw, check=True, stderr=subprocess.PIPE)
    status = (tmp_path / "dir/ünï").stat()
    assert (status.st_size, status.st_mode & 0o7777, status.st_mtime_ns) == (600, 0o640, 1_234_567_890_123_456_789)
    assert (tmp_path / long).read_bytes() == b"y"
    assert os.readlink(tmp_path / "link") == "t" * 200
    listed = subprocess.run(["tar", "-tf", "-"], input=raw, check=True, capture_output=True).stdout
    assert not subprocess.run(["tar", "-tf", "-"], input=raw, check=True, capture_output=True).stderr
    assert listed.count(b"\n") == len(items)


def test_deletions_are_empty_files_of_nobody() -> None:
    raw, _ = written([(Entry("a/b", EntryType.WHITEOUT), b""), (Entry("c", EntryType.OPAQUE), b"")])
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        found = [(each.name, each.size, each.mode, each.uid, each.mtime) for each in tar]
    assert found == [("a/.wh.b", 0, 0, 0, 0), ("c/.wh..wh..opq", 0, 0, 0, 0)]


@pytest.mark.parametrize("path", [".wh.x", "a/.wh..wh..opq", ".wh.d/f"])
def test_a_file_cannot_have_a_deletions_name(path: str) -> None:
    with pytest.raises(UnsafePath, match="deletions"):
        written([(Entry(path, EntryType.FILE), b"")])


def test_a_file_that_shrinks_while_it_is_read_is_an_error() -> None:
    with pytest.raises(ArchiveInvalid, match="shorter"):
        TarWriter(lambda _: None).add(Entry("a", EntryType.FILE, size=5), io.BytesIO(b"1234"))


@given(st.lists(st.sampled_from(["", "a", "a/b", "a-b", "a/b/c", "a.b", "b", "é"]), unique=True))
def test_the_order_is_that_of_a_walk(found: list[str]) -> None:
    files = [Entry(path, EntryType.DIR) for path in found]
    gone = [Entry(path, EntryType.WHITEOUT) for path in ("zz", "a/zz")] + [Entry("a", EntryType.OPAQUE)]
    ours = [(entry.path, entry.type) for entry in ordered([*gone, *files])]
    for path in found:
        head = path.rpartition("/")[0]
        if path and head in found:
            assert ours.index((head, EntryType.DIR)) < ours.index((path, EntryType.DIR))
        beside = [entry for entry in gone if entry.path and entry.path.rpartition("/")[0] == head and path]
        for entry in beside:
            if entry.type is EntryType.WHITEOUT:
                assert ours.index((entry.path, entry.type)) < ours.index((path, EntryType.DIR))
    assert len({order(entry) for entry in [*gone, *files]}) == len(gone) + len(files)


odd = st.lists(st.one_of(parts, st.just(b".wh.x"), st.text("ab", min_size=1).map(str.encode)), min_size=1, max_size=5)


@given(
    st.sampled_from(["", "d/", "dé/", f"{'p' * 60}/"]),
    odd,
    st.integers(0, 0xFFFFFFFE),
    st.sampled_from([0, 1, 512, 8**11]),
    st.sampled_from([0, 7 * SECOND, 7 * SECOND + 1, -SECOND, 8**11 * SECOND]),
    st.integers(0, 0o7777),
)
def test_headers_of_many_files_are_those_of_each(  # noqa: PLR0917 hypothesis hands them over in this order
    prefix: str, raw: list[bytes], owner: int, size: int, mtime_ns: int, mode: int
) -> None:
    count = len(raw)
    stats = Stats(array("q", Status(0o100000 | mode, 1, 1, 1, size, 0, 0) * count))
    files = PlainFiles(
        prefix,
        list(map(decode, raw)),
        stats,
        [mode] * count,
        [mtime_ns] * count,
        owner,
        5,
        Root("/"),
        "",
    )
    try:
        each = [header(files.entry(at, {})) for at in range(count)]
    except UnsafePath:
        with pytest.raises(UnsafePath):
            list(plain_headers(files, raw))
        return
    assert list(plain_headers(files, raw)) == each


def test_files_of_a_directory_are_what_they_are_alone(tmp_path: Path) -> None:
    """Of all sizes around a block and around a piece of the tar, one with attributes among them."""
    sizes = [0, 1, 511, 512, 513, (1 << 20) - 2048, 3, (1 << 20) + 1, 9, 1 << 20, *range(700)]
    for number, size in enumerate(sizes):
        (tmp_path / f"{number:04}").write_bytes(bytes([number % 251]) * size)
    os.setxattr(tmp_path / "0004", "user.note", b"kept")
    names = sorted(os.listdir(tmp_path))
    statuses = [(tmp_path / name).stat() for name in names]
    count = len(names)
    files = PlainFiles("d/", names, Stats.of(statuses), [0o644] * count, [SECOND] * count, 3, 4, Root(tmp_path), "")
    assert len(files.part(2, 5)) == 3
    pieces: list[bytes] = []
    tar = TarWriter(lambda view: pieces.append(bytes(view)))
    offsets, attributes = tar.add_files(files)
    tar.close()
    assert {at: found for at, found in attributes.items() if found} == {4: {"user.note": b"kept"}}
    each = [(files.entry(at, attributes.get(at, {})), (tmp_path / name).read_bytes()) for at, name in enumerate(names)]
    assert (b"".join(pieces), offsets) == written(each)


def test_a_file_system_may_give_fewer_bytes_than_were_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytes(range(256)) * 9
    (tmp_path / "a").write_bytes(data)
    files = PlainFiles("", ["a"], Stats.of([(tmp_path / "a").stat()]), [0o644], [SECOND], 0, 0, Root(tmp_path), "")
    pieces: list[bytes] = []
    tar = TarWriter(lambda view: pieces.append(bytes(view)))
    real = os.readv
    monkeypatch.setattr(os, "readv", lambda file, views: real(file, [views[0][:1000]]))
    offsets, attributes = tar.add_files(files)
    tar.close()
    assert (b"".join(pieces), offsets, attributes) == (*written([(files.entry(0, {}), data)]), {})
    monkeypatch.setattr(os, "readv", lambda file, views: 0)
    with pytest.raises(ArchiveInvalid, match="'a' became shorter while it was read"):
        tar.add_files(files)

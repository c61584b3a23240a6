"""How members of a tar become a layer, and layers a file system (OCI image-spec, layer.md), without any disk."""

import io
import tarfile
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers import ArchiveInvalid, EntryType, UnsafePath
from layers.tar.toc import Toc
from layers.views.changes import ChangeKind
from layers.views.tree import Tree
from layers.views.treediff import diff
from tests.support.members import node, packed

Member = tuple[str, Any]  # a name, and content (bytes), None (directory), or (type, link target)


def tar(*members: Member, xattrs: Mapping[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, what in members:
            info = tarfile.TarInfo(name)
            info.mode = 0o644
            data = b""
            if what is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o750
            elif isinstance(what, bytes):
                data, info.size = what, len(what)
            else:
                info.type, info.linkname = what
            info.pax_headers = {f"SCHILY.xattr.{key}": value for key, value in (xattrs or {}).items()}
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def hard(target: str) -> tuple[bytes, str]:
    return tarfile.LNKTYPE, target


def soft(target: str) -> tuple[bytes, str]:
    return tarfile.SYMTYPE, target


def scan(*members: Member) -> Toc:
    return Toc.scan(io.BytesIO(tar(*members)))


def said(toc: Toc) -> list[str]:
    """Each entry in a word: kind and path, and what a link leads to."""
    marks = {EntryType.DIR: "/", EntryType.WHITEOUT: " deleted", EntryType.OPAQUE: " opaque"}
    return [
        entry.path + marks.get(entry.type, "") + (f" -> {entry.linkname}" if entry.linkname else "") for entry in toc
    ]


def tree(tmp: Callable[[bytes], Any], *layers: bytes) -> Tree:
    return Tree([(Toc.scan(io.BytesIO(raw)), tmp(raw)) for raw in layers])


@pytest.fixture
def keep(tmp_path: Any) -> Callable[[bytes], Any]:
    """Keeps bytes in a file; gives what opens it."""
    made = iter(range(1000))

    def put(raw: bytes) -> Any:
        path = tmp_path / str(next(made))
        path.write_bytes(raw)
        return lambda: path.open("rb", buffering=0)

    return put


# -- one tar ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "result"),
    [
        ([("b", b""), ("a/c", b""), ("a/b", b"")], ["a/b", "a/c", "b"]),
        ([("a", b"1"), ("a", b"22")], ["a"]),
        ([("a", b""), ("a/b", b"")], ["a/b"]),
        ([("a", None), ("a/b", b""), ("a", b"")], ["a"]),
        ([("a", None), ("a/b", b""), ("a", None)], ["a/", "a/b"]),
        ([("a", None), ("a/b", b""), ("a", soft("c"))], ["a -> c"]),
        ([("a/b/c", b""), ("a", soft("x")), ("x/y", b"")], ["a -> x", "x/y"]),
        ([("lib", soft("usr/lib")), ("lib/x", b"")], ["lib -> usr/lib", "usr/lib/x"]),
        ([("lib", soft("/usr/lib")), ("usr/lib", soft("../../../opt")), ("lib/x", b"")],
         ["lib -> /usr/lib", "opt/x", "usr/lib -> ../../../opt"]),
        ([(".wh.a", b""), ("a", b"")], ["a"]),
        ([("a", b""), (".wh.a", b"")], ["a"]),
        ([("a/b", b""), (".wh.a", b"")], ["a opaque", "a/b"]),
        ([(".wh.d", b""), ("d/x", b"")], ["d opaque", "d/x"]),
        ([("d/.wh..wh..opq", b""), ("d/.wh.x", b""), ("d/e/.wh.y", b"")], ["d opaque"]),
        ([(".wh.a", b""), ("a/.wh.b", b"")], ["a deleted"]),
        ([("a/b/.wh.c", b"")], ["a/b/c deleted"]),
        ([("l", soft("d")), ("l/.wh.x", b"")], ["d/x deleted", "l -> d"]),
        ([("a", b""), ("a/.wh.x", b"")], ["a"]),
        ([(".wh..wh.plnk/1.2", b""), (".wh..wh.aufs", b""), ("a", b"")], ["a"]),
        ([("b", b"x"), ("a", hard("b")), ("c", hard("b"))], ["a", "b -> a", "c -> a"]),
        ([("a", hard("b")), ("b", b"x")], ["a", "b -> a"]),
        ([("a", b"1"), ("b", hard("a")), ("a", b"2")], ["a", "b"]),
        ([("a", hard("below/x")), ("b", hard("/below/x"))], ["a -> below/x", "b -> below/x"]),
        ([("a", soft("x")), ("b", hard("a"))], ["a -> x", "b -> a"]),
        ([("./", None), ("a", b"")], ["/", "a"]),
        ([("a", b"x"), ("a", hard("a"))], ["a"]),
    ],
)  # fmt: skip
def test_what_a_tar_says(members: list[Member], result: list[str]) -> None:
    toc = scan(*members)
    assert said(toc) == result
    again = Toc.loads(toc.dumps())
    assert list(again) == list(toc)


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ([(".", soft("/etc"))], "only be a directory"),
        ([("/", b"")], "only be a directory"),
        ([(".wh.", b"")], "whiteout of nothing"),
        ([("a/.wh...", b"")], "directory itself"),
        ([("a/.wh..", b"")], "directory itself"),
        ([(".wh.a/b", b"")], "only the last part"),
        ([("a", (tarfile.CHRTYPE, ""))], "0:0"),
        ([("d", None), ("a", hard("d"))], "a directory"),
        ([("a", hard("d")), ("d/x", b"")], "a directory"),
        ([("a", soft("b")), ("b", soft("a")), ("a/x", b"")], "more than 40"),
        ([("a", hard("../../etc/shadow"))], r'"\.\."'),
        ([("d", soft("/etc")), ("a", hard("d/shadow"))], "no directory"),
        ([("a", hard("a"))], "itself"),
        ([("a", hard("b")), ("b", hard("a"))], "itself"),
        ([("a", soft("x" * 300)), ("a/b", b"")], "longer than 255"),
        ([("a", soft("x" * 4096))], "more than 4095"),
    ],
)
def test_what_is_refused(members: list[Member], why: str) -> None:
    with pytest.raises((UnsafePath, ArchiveInvalid), match=why):
        scan(*members)


@pytest.mark.parametrize("numbers", [(4096, 0), (1, 1 << 20)])
def test_devices_that_linux_cannot_hold_are_refused(numbers: tuple[int, int]) -> None:
    with pytest.raises(UnsafePath, match="beyond what Linux can hold"):
        Toc.scan(io.BytesIO(packed([node("a", tarfile.CHRTYPE, *numbers)])))


def test_an_archive_that_is_no_layer_cannot_delete() -> None:
    for name in ("a/.wh.b", ".wh..wh..opq", ".wh.d/x"):
        with pytest.raises(UnsafePath, match="deletions"):
            Toc.scan(io.BytesIO(tar((name, b""))), layer=False)


def test_overlayfs_marks_are_not_taken_from_strangers() -> None:
    heard: list[str] = []
    marks = {"trusted.overlay.opaque": "y", "user.overlay.redirect": "/etc", "security.selinux": "x", "user.ok": "1"}
    (entry,) = Toc.scan(io.BytesIO(tar(("a", b""), xattrs=marks)), warn=heard.append)
    assert dict(entry.xattrs) == {"user.ok": b"1"}
    assert len(heard) == 1
    assert "trusted.overlay.opaque" in heard[0]


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (None, "btrfs.x", "1"),
        (None, "system.nfs4_acl", "1"),
        (None, "user.", "1"),
        (None, "user." + "n" * 251, "1"),
        (None, "user.big", "v" * 65_537),
        (None, "system.posix_acl_access", "no list"),
        (b"", "system.posix_acl_default", "\2\0\0\0\1\0\6\0\0\0\0\0\4\0\6\0\0\0\0\0 \0\4\0\0\0\0\0"),
        (b"", "security.capability", "short"),
        (soft("x"), "user.a", "1"),
        ((tarfile.FIFOTYPE, ""), "user.a", "1"),
    ],
)
def test_attributes_that_linux_has_no_place_for_are_not_kept_and_told(kind: Any, name: str, value: str) -> None:
    heard: list[str] = []
    (entry,) = Toc.scan(io.BytesIO(tar(("a", kind), xattrs={name: value})), warn=heard.append)
    assert not entry.xattrs
    assert [name in line for line in heard] == [True]


def test_a_list_of_who_may_do_what_decides_the_mode() -> None:
    plain = "\2\0\0\0\1\0\6\0\0\0\0\0\4\0\4\0\0\0\0\0 \0\0\0\0\0\0\0"
    masked = f"{plain[:20]}\x10\0\1\0\0\0\0\0{plain[20:]}"
    for value, mode, kept in ((plain, 0o640, 0), (masked, 0o610, 1)):
        (entry,) = Toc.scan(io.BytesIO(tar(("a", None), xattrs={"system.posix_acl_access": value})))
        assert (entry.mode, len(entry.xattrs)) == (mode, kept)


def test_what_was_tolerated_is_told() -> None:
    heard: list[str] = []
    Toc.scan(
        io.BytesIO(tar(("a", b"1"), ("a", b"2"), ("d", None), ("d", None), ("f", b""), ("f/x", b""))), warn=heard.append
    )
    assert [line.partition("'")[2].partition("'")[0] for line in heard] == ["a", "f"]


names = st.sampled_from(["a", "b", "a/b", "a/b/c", "b/a", "a/c"])
member = st.one_of(
    st.tuples(names, st.binary(max_size=2)),
    st.tuples(names, st.none()),
    st.tuples(names, names.map(soft)),
    st.tuples(names, names.map(hard)),
    st.tuples(names.map(lambda path: "/".join([*path.split("/")[:-1], f".wh.{path.split('/')[-1]}"])), st.just(b"")),
    st.tuples(names.map(lambda path: f"{path}/.wh..wh..opq"), st.just(b"")),
)


@given(st.lists(member, max_size=8))
def test_the_table_is_in_normal_form(members: list[Member]) -> None:
    try:
        toc = scan(*members)
    except (UnsafePath, ArchiveInvalid):
        return
    found = list(toc)
    kinds = {entry.path: entry.type for entry in found if entry.type not in (EntryType.WHITEOUT, EntryType.OPAQUE)}
    assert len(kinds) == sum(entry.type not in (EntryType.WHITEOUT, EntryType.OPAQUE) for entry in found)
    hidden = {entry.path for entry in found if entry.type in (EntryType.WHITEOUT, EntryType.OPAQUE)}
    for entry in found:
        above = [entry.path.rsplit("/", count)[0] for count in range(1, entry.path.count("/") + 1)]
        assert all(kinds.get(path, EntryType.DIR) is EntryType.DIR for path in above), "nothing is below a file"
        if entry.path in hidden and entry.type in (EntryType.WHITEOUT, EntryType.OPAQUE):
            assert not hidden.intersection(above), "deleted twice"
            assert entry.type is EntryType.OPAQUE or entry.path not in kinds
        if entry.type is EntryType.HARDLINK and entry.linkname in kinds:
            assert kinds[entry.linkname] not in (EntryType.DIR, EntryType.HARDLINK)
            assert entry.linkname < entry.path
    assert list(Toc.loads(toc.dumps())) == found


# -- several ---------------------------------------------------------------------------------------

BASE = tar(
    ("a", None), ("a/b", b"1"), ("a/c", None), ("a/c/d", b"2"), ("f", b"3"), ("l", soft("a/c")), ("g", hard("f"))
)


@pytest.mark.parametrize(
    ("upper", "shown"),
    [
        ([], ["a", "a/b", "a/c", "a/c/d", "f", "g", "l"]),
        ([tar((".wh.a", b""))], ["f", "g", "l"]),
        ([tar((".wh.a", b"")), tar(("a", None), ("a/n", b""))], ["a", "a/n", "f", "g", "l"]),
        ([tar(("a/.wh..wh..opq", b""), ("a/n", b""))], ["a", "a/n", "f", "g", "l"]),
        ([tar(("a", b""))], ["a", "f", "g", "l"]),
        ([tar(("a", b"")), tar(("a/n", b""))], ["a", "a/n", "f", "g", "l"]),
        ([tar(("f/n", b""))], ["a", "a/b", "a/c", "a/c/d", "f", "f/n", "g", "l"]),
        ([tar(("a/c/.wh.d", b""))], ["a", "a/b", "a/c", "f", "g", "l"]),
        ([tar(("a/c/.wh.d", b""), ("a/.wh.b", b""))], ["a", "a/c", "f", "g", "l"]),
        ([tar(("a/c/.wh.d", b""))], ["a", "a/b", "a/c", "f", "g", "l"]),
        ([tar(("a/c/.wh.d", b"")), tar(("a/c/d", b""))], ["a", "a/b", "a/c", "a/c/d", "f", "g", "l"]),
        ([tar((".wh..wh..opq", b""), ("n", b""))], ["n"]),
        ([tar((".wh.nothing", b""), ("no/where/.wh.x", b""))], ["a", "a/b", "a/c", "a/c/d", "f", "g", "l"]),
    ],
)
def test_what_layers_show(keep: Callable[[bytes], Any], upper: list[bytes], shown: list[str]) -> None:
    view = tree(keep, BASE, *upper)
    assert [entry.path for entry in view.walk()] == ["", *shown]
    for path in ("", *shown):
        inside = [each.rpartition("/")[2] for each in shown if each and each.rpartition("/")[0] == path]
        assert view.children(path) == inside, path
        assert view.holds(path)
    for path in {"a", "a/b", "a/c", "a/c/d", "f", "g", "l"} - set(shown):
        assert not view.holds(path)
        assert view.children(path) == []


def test_a_link_keeps_its_file(keep: Callable[[bytes], Any]) -> None:
    view = tree(keep, BASE, tar(("f", b"new")), tar(("h", hard("g")), ("m", hard("f"))))
    assert [view.read(name, 99) for name in ("f", "g", "h", "m")] == [b"new", b"3", b"3", b"new"]
    assert view.inode("g") == view.inode("h") != view.inode("f") == view.inode("m")
    assert view.is_shared("g")
    assert not view.is_shared("a/b")


def test_implied_directories_look_as_below_or_plain(keep: Callable[[bytes], Any]) -> None:
    view = tree(keep, BASE, tar(("a/c/n", b""), ("x/y", b"")))
    found = {path: view.get(path) for path in ("a/c", "x")}
    assert [entry and entry.mode for entry in found.values()] == [0o750, 0o755]
    assert view.lists("a/c")
    assert not view.lists("x")


def test_links_are_followed_inside(keep: Callable[[bytes], Any]) -> None:
    links = [("up", soft("../../a/b")), ("abs", soft("/l")), ("a/back", soft("../f")), ("loop", soft("loop/x"))]
    view = tree(keep, BASE, tar(*links, ("lost", soft("no/where"))))
    assert [view.resolve(path) for path in ("up", "abs/d", "a/back", "lost/x", "l/../b", "/a/./c//d/")] == [
        "a/b", "a/c/d", "f", "no/where/x", "a/b", "a/c/d",
    ]  # fmt: skip
    assert view.resolve("abs", follow=False) == "abs"
    assert view.resolve("abs/d", follow=False) == "a/c/d"
    with pytest.raises(UnsafePath, match="circle"):
        view.resolve("loop")
    assert view.read("abs/d", 99) == b"2"
    assert view.read("abs/d", 0) is None
    with pytest.raises(FileNotFoundError):
        view.open("lost")
    with pytest.raises(IsADirectoryError):
        view.open("a")
    stat = view.stat("up")
    assert stat is not None
    assert (stat.path, stat.size) == ("a/b", 1)


def test_accounts_come_from_the_merged_files(keep: Callable[[bytes], Any]) -> None:
    passwd = b"root:x:0:0::/root:/bin/sh\nme:x:7:8::/home/me:/bin/sh\n"
    view = tree(keep, tar(("etc/passwd", b"")), tar(("etc/passwd", soft("../usr/passwd")), ("usr/passwd", passwd)))
    assert view.accounts().owner("me") == (7, 8)


def test_a_very_deep_tree(keep: Callable[[bytes], Any]) -> None:
    deep = "/".join(["d"] * 1900)
    view = tree(keep, tar((f"{deep}/f", b"x")))
    assert sum(1 for _ in view.walk()) == 1902
    assert view.read(f"{deep}/f", 9) == b"x"
    assert len(list(diff(tree(keep, tar()), view))) == 1901


def test_what_differs(keep: Callable[[bytes], Any]) -> None:
    before = tree(keep, BASE)
    after = tree(keep, BASE, tar(("a/b", b"X"), ("f", b"3"), (".wh.l", b""), ("a/c", b""), ("n", None), ("n/m", b"")))
    found = [(change.kind, change.path) for change in diff(before, after)]
    added, modified, removed = ChangeKind.ADDED, ChangeKind.MODIFIED, ChangeKind.REMOVED
    assert found == [(modified, "a/b"), (modified, "a/c"), (removed, "l"), (added, "n"), (added, "n/m")]
    back = [(change.kind, change.path) for change in diff(after, before)]
    assert back == [(modified, "a/b"), (modified, "a/c"), (added, "a/c/d"), (added, "l"), (removed, "n")]

"""What leads from one file system to another: reasons, what is not read, and that applying it leads there."""

import io
import os
import stat
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from layers import ArchiveInvalid, Entry, EntryType, Toc, Tree, UnsafePath
from layers.views.changes import ChangeKind
from layers.views.files import Files
from layers.views.folder import Folder
from layers.views.lifted import Lifted
from layers.views.treediff import Difference, Reason, diff
from tests.support.recipes import Member, tar_of
from tests.unit.layers.test_layer_rules import member, soft

ALL = frozenset(Reason)


def layer(raw: bytes, folder: Path, reads: Counter[str] | None = None) -> tuple[Toc, Callable[[], BinaryIO]]:
    path = folder / str(len(list(folder.iterdir())))
    path.write_bytes(raw)

    def opened() -> BinaryIO:
        if reads is not None:
            reads[path.name] += 1
        return path.open("rb", buffering=0)

    return Toc.scan(io.BytesIO(raw)), opened


class Slow:
    """The same files without what Tree knows of layers, so that nothing can be skipped."""

    def __init__(self, tree: Tree) -> None:
        self.get, self.children, self.open = tree.get, tree.children, tree.open

    def inode(self, path: str) -> object | None:
        return None


Node = tuple[Any, ...]


def view(files: Files) -> dict[str, Node]:
    """Path → all that a difference may be about."""
    found: dict[str, Node] = {}
    waiting = [""]
    while waiting:
        path = waiting.pop()
        entry = files.get(path)
        if entry is None:
            continue  # a hard link to nowhere
        if path:
            found[path] = node(files, entry)
        if entry.type is EntryType.DIR:
            waiting += [f"{path}/{name}" if path else name for name in files.children(path)]
    return found


def node(files: Files, entry: Entry) -> Node:
    content = b""
    if entry.type is EntryType.FILE:
        with files.open(entry.path) as file:
            content = file.read()
    mode = 0 if entry.type is EntryType.SYMLINK else entry.mode
    return entry.type, mode, entry.uid, entry.gid, entry.mtime_ns, entry.linkname, dict(entry.xattrs), content


def applied(differences: list[Difference], before: dict[str, Node], after: Files) -> dict[str, Node]:
    """Do to `before` what the differences say."""
    found = dict(before)
    for one in differences:
        if one.new is None or one.new.type is not EntryType.DIR:
            for path in [path for path in found if path == one.path or path.startswith(f"{one.path}/")]:
                del found[path]
        if one.new is not None:
            found[one.path] = node(after, one.new)
    return found


layers = st.lists(st.lists(member, max_size=5), max_size=3)


@given(layers, layers, layers)
@example([[("b/a", None)]], [], [[("b/.wh.a", b"")]])  # nothing lists the directory in which something goes
@settings(deadline=None)
def test_applying_what_differs_leads_there(
    tmp_path_factory: pytest.TempPathFactory, shared: list[Any], mine: list[Any], theirs: list[Any]
) -> None:
    folder = tmp_path_factory.mktemp("tars")
    try:
        low, left, right = ([layer(tar_of(members), folder) for members in part] for part in (shared, mine, theirs))
    except (UnsafePath, ArchiveInvalid):
        return
    before, after = Tree([*low, *left]), Tree([*low, *right])
    with_reasons = list(diff(before, after, reasons=True))
    assert applied(with_reasons, view(before), after) == view(after)
    slow = list(diff(Slow(before), Slow(after), reasons=True))
    assert with_reasons == slow, "what is skipped does not differ"
    quick = list(diff(before, after))
    assert [(one.kind, one.path) for one in quick] == [(one.kind, one.path) for one in with_reasons]
    assert not list(diff(after, after))
    assert not [one for one in diff(before, after, ignore=ALL) if one.kind is ChangeKind.MODIFIED]
    for one in with_reasons:
        assert bool(one.reasons) == (one.kind is ChangeKind.MODIFIED)
        assert (one.old is None, one.new is None) == (one.kind is ChangeKind.ADDED, one.kind is ChangeKind.REMOVED)


def one_file(**changes: Any) -> Tree:
    fields = {"type": EntryType.FILE, "mode": 0o644, "size": 0, "mtime_ns": 5, **changes}
    return Tree([(Toc.of([Entry("f", **fields)]), never)])


def never() -> BinaryIO:
    raise AssertionError("the bytes of a layer were asked for")


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        ({}, []),
        ({"mode": 0o600}, [Reason.MODE]),
        ({"uid": 1}, [Reason.OWNER]),
        ({"gid": 1}, [Reason.OWNER]),
        ({"mtime_ns": 6}, [Reason.MTIME]),
        ({"xattrs": {"user.a": b"1"}}, [Reason.XATTR]),
        ({"size": 1}, [Reason.CONTENT]),
        ({"type": EntryType.FIFO, "uid": 5}, [Reason.TYPE]),
        ({"type": EntryType.SYMLINK, "linkname": "x"}, [Reason.TYPE]),
        (
            {"mode": 0o600, "uid": 1, "size": 9, "mtime_ns": 1},
            [Reason.CONTENT, Reason.MODE, Reason.OWNER, Reason.MTIME],
        ),
    ],
)
def test_each_reason(changes: dict[str, Any], reasons: list[Reason]) -> None:
    found = list(diff(one_file(), one_file(**changes), reasons=True))
    assert [list(one.reasons) for one in found] == [reasons] * bool(reasons)
    assert not list(diff(one_file(), one_file(**changes), ignore=reasons))


def test_devices_and_links_differ_by_what_they_lead_to() -> None:
    pairs: list[tuple[dict[str, Any], dict[str, Any], Reason]] = [
        (
            {"type": EntryType.CHAR, "major": 1, "minor": 3},
            {"type": EntryType.CHAR, "major": 1, "minor": 5},
            Reason.TYPE,
        ),
        ({"type": EntryType.SYMLINK, "linkname": "a"}, {"type": EntryType.SYMLINK, "linkname": "b"}, Reason.LINK),
    ]
    for old, new, reason in pairs:
        ((found),) = diff(one_file(**old), one_file(**new), reasons=True)
        assert found.reasons == (reason,)
    links = one_file(type=EntryType.SYMLINK, linkname="a"), one_file(type=EntryType.SYMLINK, linkname="a", mode=0o777)
    assert not list(diff(*links)), "the mode of a link means nothing"


def test_bytes_are_read_only_where_all_else_is_equal(tmp_path: Path) -> None:
    reads: Counter[str] = Counter()

    def tar(*members: Member) -> tuple[Toc, Callable[[], BinaryIO]]:
        return layer(tar_of(members), tmp_path, reads)

    base = tar(("same", b"1" * 9000), ("longer", b"1"), ("touched", b"12"), ("equal", b"345"), ("gone", b"6"))
    upper = tar(("longer", b"22"), ("touched", b"21"), ("equal", b"345"), (".wh.gone", b""), ("new", b"7"))
    before, after = Tree([base]), Tree([base, upper])
    told = [f"{one.kind.value} {one.path}" for one in diff(before, after)]
    assert told == ["D gone", "C longer", "A new", "C touched"]
    assert sum(reads.values()) == 4, "two files of equal size and time in different layers, both sides"
    reads.clear()
    assert not list(diff(Tree([base, upper]), Tree([base, upper])))
    assert not list(diff(Tree([upper, base]), Tree([upper, base, tar()])))
    assert not reads, "what both begin with is not looked at"


def test_bytes_repeated_for_a_mode_are_counted(tmp_path: Path) -> None:
    def file(mode: int, content: bytes = b"x" * 100) -> Tree:
        _, opened = layer(tar_of([("f", content)]), tmp_path)
        return Tree([(Toc.of([Entry("f", EntryType.FILE, mode, size=len(content), offset=512)]), opened)])

    def repeated(after: Tree, *, reasons: bool) -> int:
        return sum(one.repeated for one in diff(file(0o644), after, reasons=reasons))

    assert repeated(file(0o755), reasons=True) == repeated(file(0o755), reasons=False) == 100
    assert repeated(file(0o755, b"y" * 100), reasons=True) == 0
    assert repeated(file(0o755, b"y" * 99), reasons=False) == 0
    assert repeated(file(0o644, b"y" * 100), reasons=False) == 0


def fill(folder: Path) -> None:
    """All that an image can hold and anybody may make."""
    (folder / "d" / "e").mkdir(parents=True)
    (folder / "d" / "line\nbreak\x1b[31m").write_bytes(b"1")
    (folder / "d" / os.fsdecode(b"\xff\xfe")).write_bytes(b"2")
    (folder / "link").symlink_to("nowhere\n")
    (folder / "file").write_bytes(b"0123456789")
    os.link(folder / "file", folder / "other name")
    os.mkfifo(folder / "fifo")
    (folder / "file").chmod(0o751)
    with open(folder / "sparse", "wb") as sparse:
        sparse.truncate(100_000)
        sparse.seek(50_000)
        sparse.write(b"x")


def test_a_directory_beside_an_image_of_it(tmp_path: Path) -> None:
    import tarfile

    root, tars = tmp_path / "root", tmp_path / "tars"
    tars.mkdir()
    root.mkdir()
    fill(root)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for folder, folders, files in os.walk(root):
            for name in (*folders, *files):
                tar.add(Path(folder, name), str(Path(folder, name).relative_to(root)), recursive=False)
    tree = Tree([layer(buffer.getvalue(), tars)])
    ignore = {Reason.MTIME}  # tarfile writes floats: nanoseconds are lost
    with Folder(root) as there:
        assert not list(diff(tree, there, ignore=ignore))
        assert not list(diff(there, tree, ignore=ignore))
        (root / "file").write_bytes(b"9876543210")
        (root / "link").unlink()
        (root / "d" / "e").rmdir()
        (root / "d" / "e").write_bytes(b"")
        (root / "new").mkdir()
        found = {one.path: one for one in diff(tree, there, ignore=ignore, reasons=True)}
        assert {path: one.kind.value for path, one in found.items()} == {
            "d/e": "C", "file": "C", "other name": "C", "link": "D", "new": "A",
        }  # fmt: skip
        assert found["d/e"].reasons == (Reason.TYPE,)
        assert found["file"].reasons == found["other name"].reasons == (Reason.CONTENT,)


def test_no_link_leads_out_of_a_directory(tmp_path: Path) -> None:
    (tmp_path / "root" / "d").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"s")
    (tmp_path / "root" / "out").symlink_to("..")
    (tmp_path / "root" / "abs").symlink_to(tmp_path)
    with Folder(tmp_path / "root") as there:
        for path in ("out/secret", "abs/secret", "../secret", "d/../../secret"):
            assert there.get(path) is None
            assert there.inode(path) is None
            with pytest.raises(OSError):
                there.open(path)
        assert there.children("out") == []
        link = there.get("out")
        assert link is not None
        assert (link.type, link.linkname) == (EntryType.SYMLINK, "..")
        with pytest.raises(OSError):
            there.open("out")


def test_an_upper_directory_as_a_layer(tmp_path: Path) -> None:
    tars = tmp_path / "tars"
    tars.mkdir()
    below = Tree(
        [
            layer(
                tar_of(
                    [
                        ("d", None),
                        ("d/a", b"1"),
                        ("d/b", b"2"),
                        ("e", None),
                        ("e/f", b"3"),
                        ("x", b"4"),
                        ("l", soft("x")),
                    ]
                ),
                tars,
            )
        ]
    )
    upper = tmp_path / "upper"
    (upper / "d").mkdir(parents=True)
    (upper / "d" / "a").write_bytes(b"changed")
    os.mknod(upper / "d" / "b", stat.S_IFCHR)
    os.mknod(upper / "e", stat.S_IFCHR)
    (upper / "new").write_bytes(b"new")
    os.link(upper / "new", upper / "too")
    lifted = Lifted(below, upper)
    assert set(view(lifted)) == {"d", "d/a", "x", "l", "new", "too"}
    assert [lifted.read(path, 99) for path in ("d/a", "x", "l", "too")] == [b"changed", b"4", b"4", b"new"]
    assert lifted.inode("new") == lifted.inode("too")
    ignore = {Reason.OWNER, Reason.MODE, Reason.MTIME}
    assert [(one.kind.value, one.path) for one in diff(below, lifted, ignore=ignore)] == [
        ("C", "d/a"), ("D", "d/b"), ("D", "e"), ("A", "new"), ("A", "too"),
    ]  # fmt: skip
    (upper / "new").unlink()
    (upper / "new").symlink_to("/etc/passwd")
    with pytest.raises(OSError):
        lifted.open("new")


class Counting(Tree):
    """Counts what it is asked."""

    asked = 0

    def get(self, path: str) -> Entry | None:
        self.asked += 1
        return super().get(path)

    def children(self, path: str) -> list[str]:
        self.asked += 1
        return super().children(path)


def test_a_few_changes_cost_the_same_over_any_image(tmp_path: Path) -> None:
    def asked(files: int) -> int:
        entries = [Entry("d", EntryType.DIR, 0o755)]
        entries += [Entry(f"d/{number:06}", EntryType.FILE, 0o644, size=1, offset=512) for number in range(files)]
        below = Counting([(Toc.of(entries), never)])
        upper = tmp_path / str(files)
        (upper / "d").mkdir(parents=True)
        for number in range(20):
            (upper / "d" / f"{number:06}").write_bytes(b"new")
        lifted = Lifted(below, upper)
        assert len(lifted.changes) == 21
        assert len(list(diff(below, lifted, reasons=True))) == 21
        return below.asked

    assert asked(100) == asked(20_000) < 200


def test_five_hundred_layers_of_which_one_differs(tmp_path: Path) -> None:
    low = [(Toc.of([Entry(f"f{at:03}", EntryType.FILE, 0o644, size=1, offset=512)]), never) for at in range(499)]
    one, two = ((Toc.of([Entry("f000", EntryType.FILE, mode, size=2, offset=512)]), never) for mode in (0o600, 0o644))
    before, after = Counting([*low, one]), Counting([*low, two])
    assert [(each.path, each.kind) for each in diff(before, after)] == [("f000", ChangeKind.MODIFIED)]
    assert before.asked + after.asked == 4, "the root and the one path"

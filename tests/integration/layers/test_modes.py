"""Every way to make a directory of a chain shows the same, and that is what the rules of layers say.

Indexed and mounted from files, the same through loop devices, unpacked for overlayfs, unpacked into one directory; and
`Tree`, which reads tables only. Rules: OCI image-spec, layer.md; each case names what it is about.
"""

import io
import os
import stat
import struct
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from layers import ArchiveInvalid, Chain, EntryType, Store, UnsafePath
from layers.home.ingest import bring
from layers.making.capture import capture
from layers.snapshot import spans
from tests.integration.layers.test_rounds import Node, same, tree_view, view
from tests.support.members import Member, file, folder, hard, layer, node, noted, packed, soft
from tests.support.modes import MODES
from tests.support.private import privately

pytestmark = pytest.mark.root


@pytest.fixture
def disk() -> Iterator[Path]:
    """A folder on a disk: the kernel mounts no files of tmpfs, which /tmp may be."""
    with tempfile.TemporaryDirectory(prefix="pybuild-test-", dir="/var/tmp") as name:
        yield Path(name)


def alone(found: dict[str, Node]) -> dict[str, Node]:
    """Without the other names of files: overlayfs forgets which names of different layers are one file."""
    return {path: seen[:-1] if stat.S_ISREG(seen[0]) else seen for path, seen in found.items()}


def timeless(found: dict[str, Node]) -> dict[str, Node]:
    """Without the times of links, which the standard library does not set."""
    return {path: seen[:-1] if stat.S_ISLNK(seen[0]) else seen for path, seen in found.items()}


def brief(found: dict[str, Node]) -> dict[str, object]:
    """A word for each path: mode of a directory, content of a file, target of a link, numbers of a device."""
    words: dict[str, object] = {}
    for path, (kind, mode, _, _, content, device, *_) in found.items():
        match kind:
            case stat.S_IFDIR:
                words[path] = mode
            case stat.S_IFLNK:
                words[path] = f"-> {content}"
            case stat.S_IFREG:
                words[path] = content if len(content) < 100 else len(content)
            case _:
                words[path] = f"{os.major(device)}:{os.minor(device)}"
    return words


def everywhere(disk: Path, *layers: bytes | Sequence[Member], far: bool = False) -> dict[str, Node]:
    """What `Tree` shows of these layers, once every mode has shown the same; `far` links cross layers."""
    told: dict[str, Node] = {}
    for mode, mounter in MODES.items():
        with Store.open(disk / mode, mounter=mounter) as store:
            made = [bring(store, io.BytesIO(one)) if isinstance(one, bytes) else layer(store, *one) for one in layers]
            chain = Chain(tuple(each.diff_id for each in made))
            tree = store.tree(chain)
            told = told or tree_view(tree)
            with store.snapshots.view(chain) as root, inside(root):
                found = view(Path())
                same(*((alone(found), alone(told)) if far else (found, told)), mode)
                for entry in tree.walk():
                    if entry.type is EntryType.DIR:
                        status = os.stat(entry.path or ".")
                        seen = (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns)
                        wanted = (entry.mode, entry.uid, entry.gid, entry.mtime_ns)
                        assert seen == wanted, f"{mode}: {entry.path!r}"
            indexes = sorted(store.root.glob("snapshots/*/index"))
            assert bool(indexes) == (mode in ("files", "loops")), f"{mode}: {store.snapshots.how()}"
            assert not (indexes and sorted(store.root.glob("snapshots/*/fs"))), mode
    return told


@contextmanager
def inside(root: Path) -> Iterator[None]:
    """Work there: paths inside may be as long as the kernel takes, so nothing can stand before them."""
    os.chdir(root)
    try:
        yield
    finally:
        os.chdir("/")


OLD = [
    folder("d", 0o700),
    file("d/x", b"x"),
    folder("d/sub", 0o711),
    file("d/sub/y", b"y"),
    file("f", b"f"),
    soft("l", "d"),
]
RULES: dict[str, tuple[list[list[Member]], dict[str, object]]] = {
    "a directory over a directory keeps what is in it": (
        [OLD, [folder("d", 0o500)]],
        {"d": 0o500, "d/x": b"x", "d/sub": 0o711, "d/sub/y": b"y", "f": b"f", "l": "-> d"}),
    "a directory that a layer implies looks as it did": (
        [OLD, [file("d/new", b"n"), file("d/sub/n", b"n"), file("p/q/r", b"r")]],
        {"d": 0o700, "d/new": b"n", "d/x": b"x", "d/sub": 0o711, "d/sub/y": b"y", "d/sub/n": b"n", "f": b"f",
         "l": "-> d", "p": 0o755, "p/q": 0o755, "p/q/r": b"r"}),
    "a deleted directory that comes back shows nothing old": (
        [OLD, [file(".wh.d")], [file("d/sub/z", b"z")]],
        {"d": 0o755, "d/sub": 0o755, "d/sub/z": b"z", "f": b"f", "l": "-> d"}),
    "a deletion and what comes in its place, in one layer": (
        [OLD, [file(".wh.d"), file("d/z", b"z"), file("f", b"2"), file(".wh.f")]],
        {"d": 0o700, "d/z": b"z", "f": b"2", "l": "-> d"}),
    "an opaque directory, marked after what is in it": (
        [OLD, [folder("d", 0o750), file("d/sub/z", b"z"), file("d/.wh..wh..opq")]],
        {"d": 0o750, "d/sub": 0o755, "d/sub/z": b"z", "f": b"f", "l": "-> d"}),
    "an opaque root": ([OLD, [file(".wh..wh..opq"), file("d/z", b"z")], [file("e")]],
                       {"d": 0o755, "d/z": b"z", "e": b""}),
    "deletions inside what is opaque, and of nothing": (
        [OLD, [file("d/.wh..wh..opq"), file("d/.wh.x"), file("d/sub/.wh.y"), file(".wh.none"), file("no/.wh.no")]],
        {"d": 0o700, "f": b"f", "l": "-> d"}),
    "deletions one after another": (
        [OLD, [file("d/.wh.x")], [file("d/x", b"2")], [file("d/.wh.x")], [file("d/sub/.wh.y")]],
        {"d": 0o700, "d/sub": 0o711, "f": b"f", "l": "-> d"}),
    "a file becomes a directory and a directory a file": (
        [OLD, [file("d", b"flat"), folder("f"), file("f/in", b"in")]],
        {"d": b"flat", "f": 0o755, "f/in": b"in", "l": "-> d"}),
    "there and back through three layers": (
        [OLD, [file("d", b"flat")], [file("d/z", b"z")]], {"d": 0o755, "d/z": b"z", "f": b"f", "l": "-> d"}),
    "there and back in one layer": (
        [OLD, [file("f"), file("f/a", b"a"), file("f", b"3"), folder("d"), file("d", b""), file("d/w", b"w")]],
        {"d": 0o700, "d/x": b"x", "d/sub": 0o711, "d/sub/y": b"y", "d/w": b"w", "f": b"3", "l": "-> d"}),
    "a path twice": ([[file("a", b"1"), hard("b", "a"), file("a", b"2"), folder("c", 0o700), folder("c", 0o711)]],
                     {"a": b"2", "b": b"1", "c": 0o711}),
    "below a link of the same layer": (
        [[soft("lib", "usr/lib"), file("lib/a", b"a"), soft("up", "../../usr"), file("up/b", b"b")]],
        {"lib": "-> usr/lib", "usr": 0o755, "usr/lib": 0o755, "usr/lib/a": b"a", "up": "-> ../../usr", "usr/b": b"b"}),
    "below a link of a lower layer": ([OLD, [file("l/z", b"z")]],
        {"d": 0o700, "d/x": b"x", "d/sub": 0o711, "d/sub/y": b"y", "f": b"f", "l": 0o755, "l/z": b"z"}),
    "a link before its target, to a link, and to itself": (
        [[hard("a", "z"), file("z", b"z"), soft("s", "z"), hard("t", "/s"), hard("z", "./z")]],
        {"a": b"z", "z": b"z", "s": "-> z", "t": "-> z"}),
    "names that AUFS kept for itself": (
        [[file(".wh..wh.plnk/1.2"), file(".wh..wh.aufs"), file("a", b"a")]], {"a": b"a"}),
    "names as they come": ([[file("./a//b", b"b"), folder("./"), file("/c/./d", b"d"), file("e\n,:\\", b"e"), file("-"),
                             file("\udcff\udc80", b"raw")]],
        {"a": 0o755, "a/b": b"b", "c": 0o755, "c/d": b"d", "e\n,:\\": b"e", "-": b"", "\udcff\udc80": b"raw"}),
    "attributes of the root": ([OLD, [folder("./", 0o711, uid=7)]], {"d": 0o700, "d/x": b"x", "d/sub": 0o711,
        "d/sub/y": b"y", "f": b"f", "l": "-> d"}),
    "devices, pipes and their replacement": (
        [[node("null", tarfile.CHRTYPE, 1, 3), node("disk", tarfile.BLKTYPE, 259, 70000),
          node("pipe", tarfile.FIFOTYPE)],
         [file("null", b"n"), node("disk", tarfile.CHRTYPE, 4095, 1048575), file(".wh.pipe")]],
        {"null": b"n", "disk": "4095:1048575"}),
    "names of type NUL with a slash, and contiguous files": (
        [[file("d/", type=b"\0"), file("c", b"c", type=tarfile.CONTTYPE)]], {"d": 0o644, "c": b"c"}),
}  # fmt: skip


@pytest.mark.parametrize("case", RULES)
def test_a_rule(disk: Path, case: str) -> None:
    layers, shown = RULES[case]
    privately(lambda: same_words(brief(everywhere(disk, *layers)), shown))


def same_words(found: dict[str, object], wanted: dict[str, object]) -> None:
    assert found == wanted


FAR: dict[str, tuple[list[list[Member]], dict[str, object]]] = {
    "to a file": ([OLD, [hard("g", "f"), hard("h", "/f"), hard("i", "d/x")]],
                  {"g": b"f", "h": b"f", "i": b"x", "f": b"f"}),
    "to what its own layer deletes, and an upper one replaces": (
        [OLD, [hard("g", "f"), file(".wh.f")], [hard("h", "g")], [file("g", b"2")]], {"g": b"2", "h": b"f"}),
    "to what lies below in an index of its own": ([OLD, [file("d/x", b"2")], [hard("k", "d/x")], [hard("m", "k")]],
                                                  {"k": b"2", "m": b"2"}),
    "to a symbolic link": ([OLD, [hard("g", "l")]], {"g": "-> d", "l": "-> d"}),
    "to a device": ([[node("null", tarfile.CHRTYPE, 1, 3)], [hard("zero", "null")]], {"zero": "1:3"}),
    "to a large file": ([[file("big", b"B" * 99 + b"!" * 100_000)], [hard("large", "big")]], {"large": 100_099}),
}  # fmt: skip


@pytest.mark.parametrize("case", FAR)
def test_a_link_into_a_lower_layer(disk: Path, case: str) -> None:
    layers, shown = FAR[case]

    def body() -> None:
        found = brief(everywhere(disk, *layers, far=True))
        assert {path: found[path] for path in shown} == shown

    privately(body)


def test_names_of_one_lower_file_are_one_file_of_their_layer(disk: Path) -> None:
    def body() -> None:
        for mode, mounter in MODES.items():
            with Store.open(disk / mode, mounter=mounter) as store:
                made = [layer(store, file("f", b"f")), layer(store, hard("g", "f"), hard("h", "f"))]
                with store.snapshots.view(Chain(tuple(each.diff_id for each in made))) as root:
                    assert os.path.samefile(root / "g", root / "h"), mode

    privately(body)


ACL = struct.pack(
    "<IHHIHHIHHIHHIHHI", 2, 1, 6, 2**32 - 1, 2, 4, 1000, 4, 4, 2**32 - 1, 16, 4, 2**32 - 1, 32, 0, 2**32 - 1
)
LIST = ACL[:12] + ACL[20:28] + ACL[36:]
CAPABILITY = struct.pack("<5I", 0x02000001, 0x400, 0, 0, 0)


def text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def everything() -> list[Member]:
    """Every kind of entry, at the edges."""
    lengths = (1, 300, 447, 448, 449, 480, 481, 511, 512, 513, 1000, 4000, 4095)
    return [
        file("empty", mode=0o600),
        file("one", b"1", mode=0o4755, uid=2**31 + 5, gid=2**32 - 2, mtime=1.123456789),
        file("odd", bytes(range(256)) * 20 + b"end", mtime=-5.5, mode=0o2000),
        file("n" * 255, b"name"),
        file("/".join(["p" * 249] * 16) + "/end", b"4004 bytes away"),
        file("/".join(["d"] * 300) + "/leaf", b"deep"),
        *(soft(f"link-{length}", "x" * length, mtime=7) for length in lengths),
        hard("again", "one"),
        hard("deep/er/again", "one"),
        node("null", tarfile.CHRTYPE, 1, 3, mode=0o666),
        node("disk", tarfile.BLKTYPE, 259, 70000, mode=0o660),
        node("pipe", tarfile.FIFOTYPE, mtime=3),
        folder("bare", 0o3777, mtime=9),
        *(file(f"many/{number}-{'y' * (number % 60)}", b"%d" % number) for number in range(1500)),
        noted("noted", {"user.one": "1", "user.long": "v" * 3000, "trusted.x": text(b"\xff\0y")}, b"note"),
        noted("able", {"security.capability": text(CAPABILITY)}, b"able", mode=0o755),
        noted("listed", {"system.posix_acl_access": text(ACL)}, b"listed", mode=0o4777),
        noted("plainly", {"system.posix_acl_access": text(LIST)}, type=tarfile.FIFOTYPE, mode=0o777),
        noted("unlisted", {"system.posix_acl_access": text(ACL[:-1]), "security.capability": "x"}, b""),
        noted("lists", {"system.posix_acl_default": text(ACL), "user.d": "d"}, type=tarfile.DIRTYPE, mode=0o750),
        noted("noted-link", {"trusted.link": "z" * 100}, type=tarfile.SYMTYPE, linkname="z" * 450),
        noted("quiet", {"security.selinux": "here", "btrfs.x": "y", "trusted.overlay.opaque": "y", "lost.x": "y"}),
        noted("quiet-link", {"user.x": "y"}, type=tarfile.SYMTYPE, linkname="one"),
        noted("quiet-pipe", {"user.x": "y"}, type=tarfile.FIFOTYPE),
        file("big", b"0123456789abcdef" * 7000 + b"."),
    ]


def test_every_kind_of_entry_at_its_edges(disk: Path) -> None:
    def body() -> None:
        found = everywhere(disk, everything())
        assert found["one"][:4] == (stat.S_IFREG, 0o4755, 2**31 + 5, 2**32 - 2)
        assert found["odd"][7] == -5_500_000_000
        assert found["noted"][6] == {"user.one": b"1", "user.long": b"v" * 3000, "trusted.x": b"\xff\0y"}
        assert found["able"][6] == {"security.capability": CAPABILITY}
        assert (found["listed"][1], found["listed"][6]) == (0o4640, {"system.posix_acl_access": ACL})
        assert (found["plainly"][1], found["plainly"][6]) == (0o640, {})
        assert all(found[path][6] == {} for path in ("quiet", "quiet-link", "quiet-pipe", "unlisted"))
        assert len(found) > 1800

    privately(body)


def test_every_kind_below_other_layers(disk: Path) -> None:
    above = [
        folder("many", 0o711),
        file("many/.wh.7-yyyyyyy"),
        file(".wh.pipe"),
        noted("lists", {"user.e": "e"}, type=tarfile.DIRTYPE),
    ]

    def body() -> None:
        everywhere(disk, everything(), above, [file("deep/er/.wh.again"), file("bare/x", b"x")])

    privately(body)


def test_what_is_put_into_a_directory_with_a_default_acl_does_not_take_it_over(disk: Path) -> None:
    below = noted("d", {"system.posix_acl_default": text(ACL)}, type=tarfile.DIRTYPE, mode=0o755)
    above = [file("d/f", b"f"), folder("d/e"), node("d/p", tarfile.FIFOTYPE)]

    def body() -> None:
        everywhere(disk, [below], above)

    privately(body)


@pytest.mark.parametrize("mode", MODES)
def test_lists_that_a_command_sets_are_in_the_layer_that_it_makes(disk: Path, mode: str) -> None:
    def body() -> None:
        with Store.open(disk / "store", mounter=MODES[mode]) as store:
            chain = Chain((layer(store, folder("d"), file("f", b"f")).diff_id,))
            with store.snapshots.prepare(chain) as work:
                for name in "df":  # overlayfs sets lists only on what is copied up, if what is below can have none set
                    os.utime(work.root / name)
                os.setxattr(work.root / "d", "system.posix_acl_default", ACL)
                os.setxattr(work.root / "f", "system.posix_acl_access", ACL)
                os.setxattr(work.root / "f", "security.capability", CAPABILITY)
                made = capture(store, work.upper, store.tree(chain))
            with store.snapshots.view(chain.push(made.diff_id)) as root:
                found = view(root)
                same(found, tree_view(store.tree(chain.push(made.diff_id))), mode)
            assert found["d"][6] == {"system.posix_acl_default": ACL}
            assert found["f"][6] == {"system.posix_acl_access": ACL, "security.capability": CAPABILITY}

    privately(body)


@pytest.mark.parametrize("size", [1, 600, 70_000, 200_001])
def test_a_tar_that_ends_with_its_last_byte(disk: Path, size: int) -> None:
    content = bytes(range(251)) * (size // 251 + 1)
    whole = packed([file("first", content), file("last", content[:size])])
    cut = whole[: whole.rindex(content[:size][-200:]) + len(content[:size][-200:])]

    def body() -> None:
        assert everywhere(disk, cut, [file("more")])["last"][4] == content[:size]

    privately(body)


@pytest.mark.parametrize(
    "form",
    [
        ["--format=gnu"],
        ["--format=pax", "--sparse-version=0.0"],
        ["--format=pax", "--sparse-version=0.1"],
        ["--format=pax"],
    ],
)
def test_sparse_files(disk: Path, form: list[str]) -> None:
    (disk / "in").mkdir()
    with open(disk / "in/holes", "wb") as out:
        for number in range(30):
            out.seek(number * 100_000 + 5)
            out.write(b"%d" % number * 3000)
        out.truncate(10_000_000)
    (disk / "in/tail").write_bytes(b"t" * 5000)
    os.truncate(disk / "in/tail", 1_000_000)
    (disk / "in/nothing").touch()
    os.truncate(disk / "in/nothing", 3_000_001)
    os.link(disk / "in/holes", disk / "in/same")
    tar = ["tar", "-C", str(disk / "in"), "--sparse", *form, "-cf", "-", "."]
    raw = subprocess.run(tar, capture_output=True, check=True).stdout

    def body() -> None:
        found = everywhere(disk, raw, [hard("other", "holes")], far=True)
        for name in ("holes", "same", "tail", "nothing", "other"):
            assert found[name][4] == (disk / "in" / name.replace("other", "holes")).read_bytes()
        for index in disk.glob("files/snapshots/*/index"):
            assert index.stat().st_blocks * 512 < 1_000_000

    privately(body)


NAMES = st.sampled_from(["a", "b", "a/b", "a/b/c", "b/a", "a/c", "b/c/d", "c"])
DELETED = NAMES.map(lambda path: file("/".join([*path.split("/")[:-1], f".wh.{path.split('/')[-1]}"])))
MEMBERS = st.one_of(
    st.builds(file, NAMES, st.sampled_from([b"", b"1", b"x" * 600]), mode=st.sampled_from([0o644, 0o4711])),
    st.builds(folder, NAMES, st.sampled_from([0o755, 0o700, 0o1777]), uid=st.sampled_from([0, 7]), mtime=st.just(5)),
    st.builds(soft, NAMES, NAMES),
    st.builds(hard, NAMES, NAMES),
    st.builds(node, NAMES, st.just(tarfile.CHRTYPE), st.just(1), st.integers(0, 3)),
    st.builds(noted, NAMES, st.just({"user.a": "1"})),
    DELETED,
    NAMES.map(lambda path: file(f"{path}/.wh..wh..opq")),
    st.just(file(".wh..wh..opq")),
)


@pytest.mark.parametrize(("radix", "most"), [(spans.RADIX, 3), (2, 9)])
def test_random_layers(disk: Path, radix: int, most: int) -> None:
    """The property: whatever layers there are, every mode shows what `Tree` says, or all refuse them.

    With a small radix, indexes of several layers lie on one another.
    """

    def body() -> None:
        spans.RADIX = radix  # of this process, a fork
        with ExitStack() as opened:
            stores = {name: opened.enter_context(Store.open(disk / name, mounter=mode)) for name, mode in MODES.items()}

            @settings(
                max_examples=40,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            @given(st.lists(st.lists(MEMBERS, max_size=6), min_size=1, max_size=most))
            def check(layers: list[list[Member]]) -> None:
                told: dict[str, Node] | None = None
                for mode, store in stores.items():
                    try:
                        chain = Chain(tuple(layer(store, *members).diff_id for members in layers))
                    except (UnsafePath, ArchiveInvalid):
                        reject()
                    try:
                        with store.snapshots.view(chain) as root:
                            found = alone(view(root))
                    except UnsafePath:  # a link to what is in no layer: told when a directory is made
                        found = {}
                    told = found if told is None else told
                    same(found, told, mode)
                if told:
                    same(alone(tree_view(stores["plain"].tree(chain))), told, "Tree")

            check()

    privately(body)


TRUSTED: dict[str, Any] = {"filter": "fully_trusted"} if hasattr(tarfile, "fully_trusted_filter") else {}
"""Python 3.11.2, as Debian has it, knows no filters and trusts everything."""
PLAIN = st.dictionaries(
    st.sampled_from(["a", "b", "c", "d"]),
    st.one_of(
        st.builds(lambda data, mode: ("file", data, mode), st.binary(max_size=700), st.integers(0, 0o7777)),
        st.builds(lambda target, mode: ("soft", target, mode), st.sampled_from(["a", "../x", "/etc"]), st.just(0o777)),
        st.builds(lambda mode, minor: ("node", minor, mode), st.integers(0, 0o777), st.integers(1, 9)),
    ),
    max_size=4,
)


def test_random_plain_tars_are_what_the_standard_library_extracts(disk: Path) -> None:
    def body() -> None:
        with ExitStack() as opened:
            stores = {name: opened.enter_context(Store.open(disk / name, mounter=mode)) for name, mode in MODES.items()}

            @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
            @given(
                st.lists(PLAIN, min_size=1, max_size=3),
                st.integers(0, 2**31),
                st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
            )
            def check(folders: list[dict[str, Any]], owner: int, form: int) -> None:
                members: list[Member] = []
                for depth, things in enumerate(folders):
                    place = "/".join(["sub"] * depth)
                    members += [folder(place, 0o711, uid=owner, mtime=depth)] if place else []
                    for name, (kind, value, mode) in things.items():
                        path = f"{place}/{name}".lstrip("/")
                        match kind:
                            case "file":
                                looks = {"mode": mode, "gid": owner, "mtime": 8}
                                members += [file(path, value, **looks), hard(f"{path}-2", path, **looks)]
                            case "soft":
                                members.append(soft(path, value, mtime=9))
                            case _:
                                members.append(node(path, tarfile.CHRTYPE, 1, value, mode=mode, mtime=7))
                raw = packed(members, form)
                with tempfile.TemporaryDirectory(dir=disk) as name:
                    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
                        tar.extractall(name, **TRUSTED)
                    told = view(Path(name))
                for mode, store in stores.items():
                    with store.snapshots.view(Chain((bring(store, io.BytesIO(raw)).diff_id,))) as root:
                        same(timeless(view(root)), timeless(told), mode)

            check()

    privately(body)

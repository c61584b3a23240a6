"""Indexes of layers: what is in them, when they are used, what happens where they cannot be; and loop devices."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from layers import Chain, NewLayer, SnapshotMissing, Store, UnsafePath
from layers.snapshot import mountings
from layers.snapshot.erofs import Image
from layers.snapshot.index import EMBEDDED, Tar, index
from layers.snapshot.inodes import Inodes
from layers.snapshot.superblock import BLOCK, CannotIndex, devices
from runner import mounts, private
from tests.support.command import Pybuild
from tests.support.members import Member, file, hard, layer, noted
from tests.support.modes import MODES, Looping
from tests.support.mounted import mounted
from tests.support.private import privately
from tests.support.soon import soon

pytestmark = pytest.mark.root
LARGE = b"large" * (EMBEDDED // 5 + 1)


@pytest.fixture
def disk() -> Iterator[Path]:
    """A folder on a disk: the kernel mounts no files of tmpfs, which /tmp may be."""
    with tempfile.TemporaryDirectory(prefix="pybuild-test-", dir="/var/tmp") as name:
        yield Path(name)


def chain_of(*layers: NewLayer) -> Chain:
    return Chain(tuple(one.diff_id for one in layers))


def image_of(store: Store, *layers: NewLayer) -> Image:
    """The index of all these together."""
    tars = [Tar(one.diff_id, one.size) for one in layers]
    return index(Inodes([store.toc(one.diff_id) for one in layers], 0, store.tree(Chain())), 0, tars)


def loops(folder: Path) -> list[str]:
    """The files below a folder that loop devices show."""
    found = []
    for place in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            found.append(place.read_text())
        except OSError:  # it went away meanwhile
            continue
    return [name for name in found if name.startswith(str(folder))]


def reasons(store: Store) -> list[str]:
    """Why layers were unpacked."""
    return [place.read_text() for place in store.root.glob("snapshots/*/reason")]


def test_the_same_layers_give_the_same_index_and_it_is_small(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        made = [layer(store, *(file(f"{name}/{number}", LARGE[:3000]) for number in range(100))) for name in "ab"]
        first, second = image_of(store, *made), image_of(store, *made)
        assert first == second
        assert len(first.metadata) < sum(one.size for one in made) / 20


def test_tars_are_devices_by_name_unless_they_are_small(disk: Path) -> None:
    with Store.open(disk / "store") as store:
        small, large = layer(store, file("a", b"a")), layer(store, file("b", LARGE))
        image_of(store, small, large, layer(store, hard("c", "b"))).write(disk / "image", store.blobs.open)
        assert devices(disk / "image") == [large.diff_id]
        assert os.stat(disk / "image").st_size < 10 * BLOCK + 2 * EMBEDDED


@pytest.mark.parametrize("mode", ["files", "loops"])
def test_a_file_of_an_index_is_copied_up_and_run(disk: Path, mode: str) -> None:
    def body() -> None:
        with Store.open(disk / "store", mounter=MODES[mode]) as store:
            program = Path("/bin/true").read_bytes()
            made = layer(store, file("bin/true", program, mode=0o755), file("more", LARGE))
            with store.snapshots.prepare(chain_of(made)) as work:
                assert os.spawnv(os.P_WAIT, work.root / "bin/true", ["true"]) == 0
                with open(work.root / "bin/true", "ab") as target:
                    target.write(b"more")
                assert (work.upper / "bin/true").read_bytes() == program + b"more"
                assert (work.root / "more").read_bytes() == LARGE

    privately(body)


@pytest.mark.parametrize("mode", ["files", "loops"])
def test_the_last_name_of_a_directory_is_found_wherever_it_ends(disk: Path, mode: str) -> None:
    """Whether it ends with a block, with an inode's unit, or anywhere else, and whatever follows."""
    names = [
        f"d{length:02}/{name}" for length in range(1, 70) for name in ("a" * 200, "b" * 200, "c" * 100, "d" * length)
    ]
    names += [f"many/file-{number}" for number in range(100)]

    def body() -> None:
        with Store.open(disk / "store", mounter=MODES[mode]) as store:
            made = layer(store, *(file(name, b"x") for name in names))
            with store.snapshots.view(chain_of(made)) as root:
                assert [name for name in names if not (root / name).is_file()] == []
                for place in {name.partition("/")[0] for name in names}:
                    inside = sorted(name.partition("/")[2] for name in names if name.startswith(f"{place}/"))
                    assert sorted(os.listdir(root / place)) == inside
                    assert not (root / place / ("d" * 99)).exists()

    privately(body)


# -- what cannot be indexed ------------------------------------------------------------------------


def hole(size: int, name: str = "hole") -> Member:
    """A sparse file of so many bytes, the last of which is "!", in GNU's form 1.0."""
    headers = {"major": "1", "minor": "0", "name": name, "realsize": str(size)}
    content = b"1\n%d\n1\n" % (size - 1)
    pax = {f"GNU.sparse.{key}": value for key, value in headers.items()}
    return file("x", content.ljust(BLOCK, b"\0") + b"!", pax_headers=pax)


def test_what_is_too_large_for_an_index_is_unpacked_for_that_reason(disk: Path) -> None:
    size = 3 << 40

    def body() -> None:
        with Store.open(disk / "store", mounter=mounts) as store:
            low, top = layer(store, file("low", b"low")), layer(store, file("top", b"top"))
            huge = layer(store, hole(size), hole(size, "more"), file("end", LARGE))
            with store.snapshots.view(chain_of(low, huge, top)) as root:
                with open(root / "hole", "rb") as source:
                    source.seek(-1, os.SEEK_END)
                    assert (source.tell(), source.read()) == (size - 1, b"!")
                assert (root / "low").read_bytes() + (root / "top").read_bytes() == b"lowtop"
            assert reasons(store) == ["it is larger than 2 TiB"]
            assert len(list(store.root.glob("snapshots/*/index"))) == 2

    privately(body)


def test_a_file_that_no_disk_can_hold_is_an_error_in_words(disk: Path) -> None:
    def body() -> None:
        with Store.open(disk / "store", mounter=mounts) as store:
            chain = chain_of(layer(store, hole(10**17)))
            with pytest.raises(UnsafePath, match="cannot hold it: File too large"), store.snapshots.view(chain):
                pass

    privately(body)


def test_tars_beyond_the_address_space_are_not_indexed_together(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        made = layer(store, file("a", b"a"))
        tocs = [store.toc(made.diff_id)] * 3
        tars = [Tar(made.diff_id, 1 << 40)] * 3
        assert index(Inodes(tocs[:1], 0, store.tree(Chain())), 0, tars[:1])
        with pytest.raises(CannotIndex, match="2 TiB"):
            index(Inodes(tocs, 0, store.tree(Chain())), 0, tars)


def test_attributes_that_nothing_can_hold_are_an_error_in_words(disk: Path) -> None:
    def body() -> None:
        with Store.open(disk / "store", mounter=mounts) as store:
            chain = chain_of(layer(store, noted("a", {f"user.{name}": "v" * 60_000 for name in "abcde"})))
            with pytest.raises(UnsafePath, match="no room for its attribute"), store.snapshots.view(chain):
                pass

    privately(body)


def test_a_damaged_index_is_not_used(disk: Path) -> None:
    def body() -> None:
        for number, damage in enumerate((b"", b"x" * 2000)):
            with Store.open(disk / "store", mounter=mounts) as store:
                chain = chain_of(layer(store, file("a", b"%d" % number)))
                with store.snapshots.view(chain):
                    pass
            with Store.open(disk / "store", mounter=mounts) as store:
                (store.root / "snapshots" / chain.ids[0].hex / "index").write_bytes(damage)
                with store.snapshots.view(chain) as root:
                    assert (root / "a").read_bytes() == b"%d" % number
                assert any(words in reasons(store)[-1] for words in ("is damaged", "cannot be mounted"))
                assert store.snapshots.how() == "indexed, mounted from files"

    privately(body)


def test_an_index_whose_tar_is_gone_says_which(disk: Path) -> None:
    def body() -> None:
        with Store.open(disk / "store", mounter=mounts) as store:
            made = layer(store, file("a", LARGE))
            with store.snapshots.view(chain_of(made)):
                pass
        with Store.open(disk / "store", mounter=mounts) as store:
            store.blobs.path(made.diff_id).unlink()
            with pytest.raises(SnapshotMissing, match=made.diff_id.hex), store.snapshots.view(chain_of(made)):
                pass

    privately(body)


# -- loop devices ----------------------------------------------------------------------------------


def test_loop_devices_are_gone_with_their_process(disk: Path) -> None:
    def child(ready: int) -> None:
        private.enter()
        store = Store.open(disk / "store", mounter=Looping())
        chain = chain_of(*(layer(store, file(name, LARGE + name.encode())) for name in "abc"))
        with store.snapshots.view(chain) as root:
            assert sorted(os.listdir(root)) == ["a", "b", "c"]
            os.write(ready, b"!")
            signal.pause()

    readable, ready = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            child(ready)
        finally:
            os._exit(1)
    os.close(ready)
    try:
        assert os.read(readable, 1) == b"!"
        assert len(loops(disk)) == 6
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(readable)
    assert soon(lambda: not loops(disk))


def test_loop_devices_are_gone_when_the_store_is_closed(disk: Path) -> None:
    def body() -> None:
        with Store.open(disk / "store", mounter=Looping()) as store:
            with store.snapshots.view(chain_of(layer(store, file("a", LARGE)))):
                assert len(loops(disk)) == 2
            assert store.snapshots.how().startswith("indexed, mounted through loop devices; not mounted from files: ")
        assert soon(lambda: not loops(disk))

    privately(body)


def test_a_process_takes_few_loop_devices(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mountings, "MOST_LOOPS", 8)

    def body() -> None:
        with Store.open(disk / "store", mounter=Looping()) as store:
            names = [f"f{number}" for number in range(20)]
            with store.snapshots.view(chain_of(*(layer(store, file(name, LARGE)) for name in names))) as root:
                assert {name: (root / name).read_bytes() == LARGE for name in names} == dict.fromkeys(names, True)
                assert len(loops(disk)) <= 8
            assert all("more than 8 loop devices" in reason for reason in reasons(store))
            assert len(reasons(store)) >= 12

    privately(body)


# -- places ----------------------------------------------------------------------------------------


def use(store: Store) -> str:
    """See two layers, write over them, see that; how it was done."""
    chain = chain_of(layer(store, file("low", b"low"), file("big", LARGE)), layer(store, file("high", b"high")))
    with store.snapshots.prepare(chain) as work:
        assert (work.root / "low").read_bytes() + (work.root / "high").read_bytes() == b"lowhigh"
        assert (work.root / "big").read_bytes() == LARGE
        (work.root / "low").write_bytes(b"new")
        assert [change.entry.path for change in work.changes()] == ["low"]
    return store.snapshots.how()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["a,b", "a:b", "a\\b", "a\nb", "a b%20\\,:", "n" * 250])
def test_a_store_may_be_in_a_folder_of_any_name(disk: Path, name: str, mode: str) -> None:
    def body() -> None:
        with Store.open(disk / name / "store", mounter=MODES[mode]) as store:
            use(store)

    privately(body)


def test_a_store_in_memory_is_mounted_through_loop_devices(disk: Path) -> None:
    def body() -> None:
        with mounted(b"tmpfs", {}, disk), Store.open(disk / "store", mounter=mounts) as store:
            assert use(store).startswith("indexed, mounted through loop devices; not mounted from files: ")

    privately(body)


@pytest.mark.parametrize("mode", ["files", "unpacked"])
def test_a_store_on_an_overlay_shows_layers_and_says_that_it_cannot_stack_more(disk: Path, mode: str) -> None:
    for part in ("lower", "upper", "work", "merged"):
        (disk / part).mkdir()

    def body() -> None:
        mounts.overlay([disk / "lower"], disk / "merged", upper=disk / "upper", work=disk / "work")
        with Store.open(disk / "merged/store", mounter=MODES[mode]) as store:
            chain = chain_of(layer(store, file("low", b"low")))
            with store.snapshots.view(chain) as root:
                assert (root / "low").read_bytes() == b"low"
            with pytest.raises(SnapshotMissing, match="Not every file system can carry one"):
                use(store)

    privately(body)


def test_system_info_tells_the_way_and_what_was_refused(disk: Path) -> None:
    def body() -> None:
        with mounted(b"tmpfs", {}, disk):
            lines = Pybuild(disk / "store").text("system", "info").splitlines()
        (told,) = (line.removeprefix("layers").strip() for line in lines if line.startswith("layers"))
        assert told.startswith("indexed, mounted through loop devices; not mounted from files: ")
        (disk / "other").write_text("no store")
        assert "unknown: store " in Pybuild(disk / "other").text("system", "info")

    privately(body)


# -- many ------------------------------------------------------------------------------------------

MEASURE = """
import re, sys, time
from pathlib import Path
from layers import Store
from layers.oci.digest import Digest
from layers.snapshot.index import Tar, index
from layers.snapshot.inodes import Inodes
from layers.tar.toc import Toc
from layers.views.tree import Tree
table, size = Path(sys.argv[1]), int(sys.argv[2])
begun = time.process_time()
toc = Toc.loads(table.read_bytes())
image = index(Inodes([toc], 0, Tree([])), 0, [Tar(Digest.of(b""), size)])
peak = re.search("VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]  # getrusage tells our maker's too
print(time.process_time() - begun, peak, len(image.metadata))
"""


def test_a_hundred_thousand_entries_take_little_time_and_memory(tmp_path: Path) -> None:
    from layers import Entry, EntryType, Toc
    from layers.tar.tarball import ordered

    found = [Entry(f"usr/d{number}", EntryType.DIR, 0o755, mtime_ns=number) for number in range(10_000)]
    for number in range(90_000):
        path = f"usr/d{number % 10_000}/file{number}.txt"
        found.append(Entry(path, EntryType.FILE, 0o644, size=3000, mtime_ns=number * 10**9, offset=number * 4096 + 512))
    (tmp_path / "toc").write_bytes(Toc.of(ordered(found)).dumps())
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "toc"), str(90_000 * 4096 + 1024)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    seconds, kilobytes, size = map(float, done.stdout.split())
    assert seconds < 3.2  # alone on a machine it takes 0.5
    assert kilobytes < 150 * 1024
    assert size < 13e6

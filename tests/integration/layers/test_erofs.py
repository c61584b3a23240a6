"""Indexes of layers: the kernel shows the same through them as when the layers are unpacked."""

import io
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from layers import Chain, Digest, NewLayer, Store
from layers.erofs import BLOCK, CannotIndex, index
from layers.ingest import bring
from runner import linux, mounts
from tests.integration.layers.test_rounds import same, view
from tests.support.private import privately
from tests.support.unpacking import Unpacking

pytestmark = pytest.mark.root
Filler = Callable[[tarfile.TarFile], None]


@pytest.fixture
def disk() -> Iterator[Path]:
    """A folder on a disk: the kernel indexes nothing on tmpfs, which /tmp may be."""
    with tempfile.TemporaryDirectory(prefix="pybuild-test-", dir="/var/tmp") as name:
        yield Path(name)


def put(tar: tarfile.TarFile, name: str, content: bytes = b"", **values: object) -> None:
    """One member."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for key, value in values.items():
        setattr(member, key, value)
    tar.addfile(member, io.BytesIO(content))


def layer(store: Store, fill: Filler) -> NewLayer:
    """A layer of what `fill` puts into a tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        fill(tar)
    buffer.seek(0)
    return bring(store, buffer)


def everything(tar: tarfile.TarFile) -> None:
    """Every kind of entry, at the edges."""
    put(tar, "empty", mode=0o600)
    put(tar, "one", b"1", mode=0o4755, uid=2**31 + 5, gid=2**32 - 2, mtime=1.123456789)
    put(tar, "odd", bytes(range(256)) * 20 + b"end", mtime=-5.5)
    put(tar, "n" * 255, b"name")
    put(tar, "short", type=tarfile.SYMTYPE, linkname="one")
    for length in (300, 448, 449, 480, 481, 512, 1000, 4000):
        put(tar, f"link-{length}", type=tarfile.SYMTYPE, linkname="x" * length)
    put(tar, "again", type=tarfile.LNKTYPE, linkname="one")
    put(tar, "deep/er/again", type=tarfile.LNKTYPE, linkname="one")
    put(tar, "null", type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666)
    put(tar, "disk", type=tarfile.BLKTYPE, devmajor=259, devminor=70000, mode=0o660)
    put(tar, "pipe", type=tarfile.FIFOTYPE)
    put(tar, "bare", type=tarfile.DIRTYPE, mode=0o1777)
    for number in range(3000):
        put(tar, f"many/{number}-{'y' * (number % 60)}", b"%d" % number)
    attributes = {"SCHILY.xattr.user.one": "1", "SCHILY.xattr.user.long": "v" * 3000}
    put(tar, "noted", b"note", pax_headers=attributes)
    put(tar, "noted-link", type=tarfile.SYMTYPE, linkname="z" * 450)
    put(tar, "/".join(["d"] * 300) + "/leaf", b"deep")


def changes(tar: tarfile.TarFile) -> None:
    """What deletes and covers."""
    put(tar, ".wh.one")
    put(tar, "many/.wh..wh..opq")
    put(tar, "many/new", b"new")
    put(tar, ".wh.never-there")
    put(tar, "deep/.wh.er")
    put(tar, "bare", b"a file now")
    put(tar, "noted/inside", b"a directory now")


def both(folder: Path, *fillers: Filler) -> tuple[dict[str, tuple[object, ...]], ...]:
    """What the kernel shows of these layers, indexed and unpacked."""
    found = []
    for name, mounter in (("indexed", mounts), ("unpacked", Unpacking())):
        with Store.open(folder / name, mounter=mounter) as store:
            chain = Chain(tuple(layer(store, filler).diff_id for filler in fillers))
            with store.snapshots.view(chain) as root:
                found.append(view(root))
    return tuple(found)


@pytest.mark.parametrize("fillers", [(everything,), (everything, changes)])
def test_an_index_shows_what_unpacking_shows(disk: Path, fillers: tuple[Filler, ...]) -> None:
    def body() -> None:
        indexed, unpacked = both(disk, *fillers)
        assert len(indexed) > 300
        same(indexed, unpacked, "indexed")
        assert list((disk / "indexed/snapshots").glob("*/index"))
        assert not list((disk / "indexed/snapshots").glob("*/fs"))
        assert not list((disk / "unpacked/snapshots").glob("*/index"))

    privately(body)


def sparse(tar: tarfile.TarFile) -> None:
    """A file with a hole, in GNU's form 1.0."""
    pieces = b"1\n1048576\n1\n".ljust(BLOCK, b"\0")
    headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "hole",
        "GNU.sparse.realsize": "1048577",
    }
    put(tar, "GNUSparseFile.0/hole", pieces + b"!", pax_headers=headers)


def far(tar: tarfile.TarFile) -> None:
    """Another name for a file of a lower layer."""
    put(tar, "other", type=tarfile.LNKTYPE, linkname="one")


@pytest.mark.parametrize("fillers", [(sparse,), (everything, far)])
def test_what_has_no_place_in_an_index_is_unpacked(disk: Path, fillers: tuple[Filler, ...]) -> None:
    def body() -> None:
        indexed, unpacked = both(disk, *fillers)
        same(indexed, unpacked, "unpacked")
        assert len(list((disk / "indexed/snapshots").glob("*/fs"))) == 1

    privately(body)


def test_an_attribute_of_an_unknown_kind_and_a_tar_that_ends_oddly_are_refused(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        made = layer(store, lambda tar: put(tar, "a", pax_headers={"SCHILY.xattr.trusted.x": "1"}))
        toc, below = store.toc(made.diff_id), store.tree(Chain())
        assert index(toc, made.size, below, lowest=True)
        with pytest.raises(CannotIndex, match="block"):
            index(toc, made.size + 1, below, lowest=True)


def test_the_same_layer_gives_the_same_index(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        made = layer(store, everything)
        first, second = (index(store.toc(made.diff_id), made.size, store.tree(Chain()), lowest=True) for _ in range(2))
        assert Digest.of(first) == Digest.of(second)
        assert len(first) < made.size / 5


def test_a_file_of_an_index_is_copied_up_and_run(tmp_path: Path) -> None:
    def body() -> None:
        with Store.open(tmp_path / "store", mounter=mounts) as store:
            program = Path("/bin/true").read_bytes()
            chain = Chain((layer(store, lambda tar: put(tar, "bin/true", program, mode=0o755)).diff_id,))
            with store.snapshots.prepare(chain) as work:
                assert os.spawnv(os.P_WAIT, work.root / "bin/true", ["true"]) == 0
                with open(work.root / "bin/true", "ab") as file:
                    file.write(b"more")
                assert (work.upper / "bin/true").read_bytes() == program + b"more"

    privately(body)


def test_on_a_file_system_in_memory_layers_are_unpacked() -> None:
    def body() -> None:
        with tempfile.TemporaryDirectory(prefix="pybuild-test-", dir="/var/tmp") as name:
            linux.attach(linux.new_mount(b"tmpfs", {}), linux.AT_FDCWD, name.encode())
            try:
                with Store.open(Path(name) / "store", mounter=mounts) as store:
                    chain = Chain((layer(store, lambda tar: put(tar, "here", b"yes")).diff_id,))
                    with store.snapshots.view(chain) as root:
                        assert (root / "here").read_bytes() == b"yes"
                    assert list(store.root.glob("snapshots/*/fs/here"))
            finally:
                mounts.unmount(Path(name))

    privately(body)

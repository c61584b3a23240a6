"""What `layers.Repository` promises, asked of every place for images: the same tests for all of them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pytest

from layers import (
    BlobMismatch,
    BlobMissing,
    Descriptor,
    Digest,
    ImageConfig,
    Index,
    Manifest,
    Platform,
    Reference,
    Repository,
    Store,
)
from layers.moving.archive import reader
from layers.moving.archivewriter import ArchiveWriter
from layers.moving.directory import Directory
from layers.moving.layout import Layout
from layers.moving.members import Members
from layers.moving.repository import Deletes, Tags
from layers.oci import mediatypes
from registry.errors import RegistryError
from registry.remote import RemoteRepository
from tests.support.registry import RegistryServer
from tests.support.stored import tar_of


@dataclass(frozen=True, slots=True)
class Place:
    """A fresh repository; names that it takes; and the same place as somebody else opens it later."""

    here: Repository
    names: tuple[str, str]
    again: Callable[[], Repository]


@contextmanager
def store(tmp: Path) -> Iterator[Place]:
    with Store.open(tmp / "store") as opened:
        yield Place(opened.repository(), ("app:1", "example.org/app:2"), lambda: Store.open(tmp / "store").repository())


@contextmanager
def layout(tmp: Path) -> Iterator[Place]:
    yield Place(Layout.create(tmp / "layout"), ("1", "example.org/app:2"), lambda: Layout.at(tmp / "layout"))


@contextmanager
def directory(tmp: Path) -> Iterator[Place]:
    made = Directory.create(tmp / "dir")
    yield Place(made, ("", ""), lambda: Directory.at(tmp / "dir"))


@contextmanager
def oci_archive(tmp: Path) -> Iterator[Place]:
    yield from archive(tmp, docker=False)


@contextmanager
def docker_archive(tmp: Path) -> Iterator[Place]:
    yield from archive(tmp, docker=True)


def archive(tmp: Path, *, docker: bool) -> Iterator[Place]:
    with (tmp / "archive.tar").open("w+b") as sink:
        writer = ArchiveWriter(sink, docker=docker)

        def again() -> Repository:
            writer.finish()
            return reader(Members((tmp / "archive.tar").open("rb")))

        yield Place(writer, ("app:1", "example.org/app:2"), again)


PLACES = {
    "store": store,
    "layout": layout,
    "dir": directory,
    "oci-archive": oci_archive,
    "docker-archive": docker_archive,
    "registry": None,
}


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    make = PLACES[request.param]
    if make is None:
        server: RegistryServer = request.getfixturevalue("registry")
        path = f"contract/{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:16]}"
        reference = Reference.parse(server.reference(path))
        yield Place(RemoteRepository(reference), ("1", "2"), lambda: RemoteRepository(reference))
        return
    with make(tmp_path) as made:
        yield made


@dataclass(frozen=True, slots=True)
class Parts:
    """An image in pieces."""

    layer: bytes
    config: bytes
    manifest: bytes
    target: Descriptor
    wanted: Descriptor

    @classmethod
    def of(cls, word: str) -> Parts:
        """An image of one layer; its manifest has fields and spaces that nobody here would write."""
        tar = tar_of({word: word.encode()})
        packed = gzip.compress(tar, mtime=0)
        layer = Descriptor.of(packed, mediatypes.OCI_LAYER_GZIP)
        config = ImageConfig.build(
            platform=Platform.host(), diff_ids=[Digest.of(tar)], history=(), runtime={}, created=None
        )
        value = json.loads(Manifest.build(config.descriptor(), [layer]).raw)
        raw = json.dumps({**value, "x.example": {"kept": [1.50, None]}}, indent=3).encode()
        return cls(packed, config.raw, raw, Descriptor.of(raw, mediatypes.OCI_MANIFEST), layer)

    def put(self, here: Repository) -> None:
        """All of it, blobs first."""
        put(here, self.layer, self.wanted.media_type)
        put(here, self.config, mediatypes.OCI_CONFIG)
        put(here, self.manifest, mediatypes.OCI_MANIFEST)


def put(here: Repository, data: bytes, kind: str) -> Descriptor:
    wanted = Descriptor.of(data, kind)
    here.put(wanted, io.BytesIO(data))
    return wanted


def read(here: Repository, wanted: Descriptor) -> bytes:
    with here.open(wanted) as source:
        return source.read()


def test_what_is_put_is_there_as_it_came(place: Place) -> None:
    image = Parts.of("one")
    assert not place.here.has(image.wanted)
    assert not place.here.has(image.target)
    image.put(place.here)
    place.here.tag(place.names[0], image.target)
    for here in (place.here, place.again()):
        assert here.resolve(place.names[0]) == image.target
        assert here.resolve(str(image.target.digest)) == image.target
        assert here.has(image.wanted)
        assert here.has(image.target)
        assert read(here, image.wanted) == image.layer
        assert read(here, image.target) == image.manifest


def test_doing_it_again_changes_nothing(place: Place) -> None:
    image = Parts.of("again")
    for _ in range(2):
        image.put(place.here)
        place.here.tag(place.names[0], image.target)
    assert place.here.resolve(place.names[0]) == image.target
    if isinstance(place.here, Tags):
        assert list(place.here.tags()) == [place.names[0]]


def test_what_is_not_there_is_missing(place: Place) -> None:
    absent = Parts.of("absent")
    for name in (place.names[1], str(absent.target.digest)):
        with pytest.raises(BlobMissing):
            place.here.resolve(name)
    for wanted in (absent.wanted, absent.target):
        with pytest.raises(BlobMissing):
            place.here.open(wanted).read()
    with pytest.raises(BlobMissing):
        place.here.tag(place.names[0], absent.target)
    Parts.of("present").put(place.here)
    with pytest.raises(BlobMissing):
        place.here.resolve(place.names[1])


@pytest.mark.parametrize("lie", ["other bytes", "too few", "too many"])
@pytest.mark.parametrize("kind", [mediatypes.OCI_LAYER_GZIP, mediatypes.OCI_MANIFEST, "application/x-unknown"])
def test_lies_are_not_kept(place: Place, lie: str, kind: str) -> None:
    image = Parts.of("lied about")
    data = image.manifest if kind == mediatypes.OCI_MANIFEST else image.layer
    told = {"other bytes": data[:-1] + bytes([data[-1] ^ 1]), "too few": data[:-1], "too many": data + b"\n"}[lie]
    wanted = Descriptor.of(data, kind)
    if kind != mediatypes.OCI_MANIFEST and lie == "too many" and isinstance(place.here, RemoteRepository):
        return  # an upload over HTTP ends where its length says: what comes after is never sent
    refusal = (BlobMismatch, RegistryError) if isinstance(place.here, RemoteRepository) else BlobMismatch
    with pytest.raises(refusal):
        place.here.put(wanted, io.BytesIO(told))
    assert not place.here.has(wanted)
    image.put(place.here)
    place.here.tag(place.names[0], image.target)
    assert read(place.again(), image.target) == image.manifest, "a lie spoils nothing that comes after"


def test_a_source_that_breaks_leaves_nothing(place: Place) -> None:
    class Broken(io.RawIOBase):
        def __init__(self) -> None:
            self._left = 3

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
            self._left -= 1
            if not self._left:
                raise ConnectionResetError("the other side has gone")
            buffer[:100] = b"x" * 100
            return 100

    wanted = Descriptor("application/x-unknown", Digest.of(b"never"), 1000)
    with pytest.raises((ConnectionResetError, RegistryError)):
        place.here.put(wanted, Broken())  # type: ignore[arg-type]
    assert not place.here.has(wanted)
    put(place.here, b"whole", "application/x-unknown")


def test_a_name_moves(place: Place) -> None:
    old, new = Parts.of("old"), Parts.of("new")
    for image in (old, new):
        image.put(place.here)
        place.here.tag(place.names[0], image.target)
    for here in (place.here, place.again()):
        assert here.resolve(place.names[0]) == new.target


@pytest.mark.parametrize("place", [name for name in PLACES if name != "dir"], indirect=True)
def test_two_names(place: Place) -> None:
    one, two = Parts.of("first"), Parts.of("second")
    for name, image in zip(place.names, (one, two), strict=True):
        image.put(place.here)
        place.here.tag(name, image.target)
    again = place.again()
    assert [again.resolve(name) for name in place.names] == [one.target, two.target]
    if isinstance(again, Deletes):
        again.delete(place.names[0])
        with pytest.raises(BlobMissing):
            again.resolve(place.names[0])
        assert again.resolve(place.names[1]) == two.target


def test_an_index_with_its_images(place: Place) -> None:
    one, two = Parts.of("amd"), Parts.of("arm")
    raw = json.dumps(json.loads(Index.build([one.target, two.target]).raw), indent=1).encode()
    for image in (one, two):
        image.put(place.here)
    target = put(place.here, raw, mediatypes.OCI_INDEX)
    place.here.tag(place.names[0], target)
    again = place.again()
    assert again.resolve(place.names[0]) == target
    assert read(again, target) == raw
    assert read(again, one.target) == one.manifest
    assert again.resolve(str(two.target.digest)) == two.target


@pytest.mark.parametrize("place", [name for name in PLACES if name != "registry"], indirect=True)
def test_other_digests_than_sha256(place: Place) -> None:  # Debian's registry knows sha256 only
    data = b"by another name"
    wanted = Descriptor.of(data, "text/plain", "sha512")
    place.here.put(wanted, io.BytesIO(data))
    assert place.here.has(wanted)
    assert read(place.here, wanted) == data
    with pytest.raises(BlobMismatch):
        place.here.put(Descriptor("text/plain", Digest("sha512", "0" * 128), 15), io.BytesIO(data))


def test_many_at_once(place: Place) -> None:
    blobs = [bytes([number % 7]) * 200_000 for number in range(28)]
    with ThreadPoolExecutor(8) as pool:
        wanted = list(pool.map(lambda data: put(place.here, data, "application/x-unknown"), blobs))
    assert [read(place.here, blob) for blob in wanted] == blobs


def test_nobody_holds_a_large_blob_in_memory(place: Place) -> None:
    import tracemalloc

    class Zeros(io.RawIOBase):
        left = size = 64 << 20

        def readable(self) -> bool:
            return True

        def seekable(self) -> bool:
            return True

        def tell(self) -> int:
            return self.size - self.left

        def seek(self, offset: int, whence: int = 0, /) -> int:
            self.left = self.size - offset
            return offset

        def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
            count = min(len(buffer), self.left)
            buffer[:count] = bytes(count)
            self.left -= count
            return count

    hasher = hashlib.sha256()
    for _ in range(64):
        hasher.update(bytes(1 << 20))
    wanted = Descriptor("application/x-unknown", Digest("sha256", hasher.hexdigest()), Zeros.size)
    tracemalloc.start()
    try:
        source: BinaryIO = Zeros()  # type: ignore[assignment]
        place.here.put(wanted, source)
        with place.here.open(wanted) as stream:
            while stream.read(1 << 20):
                pass
        assert tracemalloc.get_traced_memory()[1] < 24 << 20
    finally:
        tracemalloc.stop()

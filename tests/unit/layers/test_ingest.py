"""Layers come in verified, in one pass, and leave nothing behind when they are not what was promised."""

import gzip
import io
import os
import threading
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from layers import ArchiveInvalid, BlobMismatch, Descriptor, Digest, DocumentInvalid, Store, UnsafePath
from layers.home import ingest as module
from layers.home.ingest import ingest, receive
from layers.oci import mediatypes
from layers.tar.pipeline import Behind, Pipe, Stopped
from tests.support.stored import new_layer, on_disk, tar_of

TAR = tar_of({"etc/": None, "etc/motd": b"hello", "big": os.urandom(3 << 20)})
PACK: dict[str, Callable[[bytes], bytes]] = {
    mediatypes.OCI_LAYER: bytes,
    mediatypes.OCI_LAYER_GZIP: gzip.compress,
    mediatypes.DOCKER_LAYER_GZIP: lambda data: gzip.compress(data[:1000]) + gzip.compress(data[1000:]),
    mediatypes.OCI_LAYER_ZSTD: zstandard.ZstdCompressor().compress,
}


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store.open(tmp_path_factory.mktemp("ingest") / "store")


class Drip(io.RawIOBase):
    """A source that gives its bytes in odd pieces, as networks do."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)
        self._turn = 0

    def read(self, size: int = -1, /) -> bytes:
        self._turn += 1
        return self._data.read(min(size, 1 + self._turn * 7919 % 70_000))


@pytest.mark.parametrize("kind", PACK)
def test_a_layer_is_kept_as_it_came_and_raw(store: Store, kind: str) -> None:
    packed = PACK[kind](TAR)
    wanted = Descriptor.of(packed, kind)
    diff_id = receive(store, wanted, Drip(packed))  # type: ignore[arg-type]
    assert diff_id == Digest.of(TAR)
    assert store.blobs.read(diff_id, limit=1 << 23) == TAR
    assert store.blobs.read(wanted.digest, limit=1 << 23) == packed
    assert {entry.path for entry in store.toc(diff_id)} == {"etc", "etc/motd", "big"}
    assert (store.root / "tocs" / diff_id.hex).exists()
    again = receive(store, wanted, io.BytesIO())  # known: nothing is read
    assert again == diff_id


@pytest.mark.parametrize("kind", PACK)
def test_a_raw_tar_that_is_gone_is_made_again(store: Store, kind: str) -> None:
    packed = PACK[kind](TAR)
    wanted = store.blobs.keep(packed, kind)
    assert ingest(store, wanted) == Digest.of(TAR)
    if kind != mediatypes.OCI_LAYER:
        store.blobs.path(Digest.of(TAR)).unlink()
        assert ingest(store, wanted) == Digest.of(TAR)
        assert store.blobs.read(Digest.of(TAR), limit=1 << 23) == TAR


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize("damage", ["short", "long", "flipped"])
def test_other_bytes_than_promised_leave_nothing(store: Store, kind: str, damage: str) -> None:
    packed = PACK[kind](TAR)
    middle = len(packed) // 2
    sent = {
        "short": packed[:-9],
        "long": packed + b"more",
        "flipped": packed[:middle] + bytes([packed[middle] ^ 1]) + packed[middle + 1 :],
    }[damage]
    threads = threading.active_count()
    with pytest.raises(BlobMismatch):
        receive(store, Descriptor.of(packed, kind), io.BytesIO(sent))
    assert on_disk(store) == set()
    assert threading.active_count() <= threads


BAD = {
    "no gzip": (b"nonsense" * 100, ArchiveInvalid),
    "cut gzip": (gzip.compress(TAR)[:-100], ArchiveInvalid),
    "garbage after gzip": (gzip.compress(TAR) + b"garbage!", ArchiveInvalid),
    "empty": (b"", ArchiveInvalid),
    "no tar": (gzip.compress(b"nonsense" * 200), ArchiveInvalid),
    "cut tar": (gzip.compress(TAR[:5000]), ArchiveInvalid),
    "escape": (gzip.compress(tar_of({"../out": b"side"})), UnsafePath),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_layer_is_refused(store: Store, name: str) -> None:
    packed, error = BAD[name]
    with pytest.raises(error):
        receive(store, Descriptor.of(packed, mediatypes.OCI_LAYER_GZIP), io.BytesIO(packed))
    assert on_disk(store) == set()


def test_a_source_that_fails_midway_leaves_no_thread(store: Store) -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1, /) -> bytes:
            if size < 1 << 20:
                raise ConnectionResetError
            return gzip.compress(TAR)[:100]

    threads = threading.active_count()
    with pytest.raises(ConnectionResetError):
        receive(store, Descriptor(mediatypes.OCI_LAYER_GZIP, Digest.of(b""), (1 << 20) + 50), Broken())  # type: ignore[arg-type]
    assert threading.active_count() <= threads
    assert on_disk(store) == set()


def test_a_bomb_is_stopped(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAST_LIMIT", 1 << 20)
    packed = gzip.compress(bytes(300 << 20), 6)
    with pytest.raises(ArchiveInvalid, match="more than"):
        receive(store, Descriptor.of(packed, mediatypes.OCI_LAYER_GZIP), io.BytesIO(packed))
    assert on_disk(store) == set()


def test_an_unknown_kind_of_layer_is_refused(store: Store) -> None:
    with pytest.raises(DocumentInvalid, match="media type"):
        receive(store, Descriptor.of(b"", "application/wasm"), io.BytesIO())


@pytest.mark.parametrize(("codec", "level"), [("gzip", None), ("gzip", 9), ("zstd", None), ("zstd", 1)])
def test_a_compressed_form_is_made_once_and_holds_the_layer(store: Store, codec: str, level: int | None) -> None:
    layer = new_layer(store, {"a": b"a" * 5_000_000, "b": os.urandom(100_000)})
    form = store.variants.compress(layer.diff_id, codec, level)
    packed = store.blobs.read(form.digest, limit=1 << 23)
    raw = store.blobs.read(layer.diff_id, limit=1 << 23)
    unpack = gzip.decompress if codec == "gzip" else zstandard.ZstdDecompressor().decompressobj().decompress
    assert unpack(packed) == raw
    assert form.media_type.endswith(codec)
    before = on_disk(store)
    assert store.variants.compress(layer.diff_id, codec, level) == form
    assert on_disk(store) == before
    store.blobs.path(form.digest).unlink()
    assert store.variants.compress(layer.diff_id, codec, level) == form  # the same bytes


@settings(max_examples=60, deadline=None)
@given(
    chunks=st.lists(st.binary(min_size=1, max_size=300), max_size=20), sizes=st.lists(st.integers(1, 500), min_size=1)
)
def test_a_pipe_gives_what_it_is_fed(chunks: list[bytes], sizes: list[int]) -> None:
    pipe = Pipe()

    def feed() -> None:
        for chunk in chunks:
            assert pipe.feed(chunk)
        pipe.finish()

    thread = threading.Thread(target=feed)
    thread.start()
    met = bytearray()
    turn = 0
    while piece := pipe.read(sizes[turn % len(sizes)]):
        met += piece
        turn += 1
    thread.join()
    assert met == b"".join(chunks)


def test_a_cut_pipe_fails_its_reader_and_a_closed_one_lets_its_feeder_go() -> None:
    cut = Pipe()
    cut.feed(b"some")
    cut.finish(cut=True)
    with pytest.raises(Stopped):
        cut.read()
    closed = Pipe()
    closed.close()
    assert not closed.feed(b"some")
    closed.finish()


def test_a_stage_that_fails_fails_its_feeder() -> None:
    def refuse(chunk: bytes) -> None:
        raise ValueError(chunk)

    with pytest.raises(ValueError, match="first"), Behind(refuse) as stage:
        for _ in range(100):
            stage(b"first")

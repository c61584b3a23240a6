"""Blobs are here whole or not at all, whoever writes them and however that ends."""

import hashlib
import io
import os
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layers import BlobMismatch, BlobMissing, Descriptor, Digest, Store, StoreFormat
from layers.disk import durable
from layers.home.blobs import CHUNK, GATHER, Blobs
from layers.home.ingest import gather
from tests.support.soon import soon

DATA = b"seven bytes and a few more"
KIND = "application/octet-stream"


def test_what_was_put_is_found_under_its_digest(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        wanted = Descriptor.of(DATA, KIND)
        assert not store.blobs.has(wanted.digest)
        store.blobs.put(wanted, io.BytesIO(DATA))
        assert store.blobs.read(wanted.digest) == DATA
        assert store.blobs.size(wanted.digest) == len(DATA)
        assert list(store.blobs.all()) == [wanted.digest]
        assert store.blobs.path(wanted.digest).stat().st_mode & 0o777 == 0o444


@pytest.mark.parametrize("sent", [b"", DATA[:-1], DATA + b"!", DATA[::-1]], ids=["none", "short", "long", "other"])
def test_other_bytes_than_promised_leave_nothing(tmp_path: Path, sent: bytes) -> None:
    with Store.open(tmp_path / "store") as store:
        wanted = Descriptor.of(DATA, KIND)
        with pytest.raises(BlobMismatch):
            store.blobs.put(wanted, io.BytesIO(sent))
        assert list(store.blobs.all()) == []


def test_a_source_that_never_ends_is_cut_off(tmp_path: Path) -> None:
    class Endless(io.RawIOBase):
        given = 0

        def read(self, size: int = -1, /) -> bytes:
            self.given += size
            return bytes(size)

    source = Endless()
    with Store.open(tmp_path / "store") as store, pytest.raises(BlobMismatch):
        store.blobs.put(Descriptor.of(DATA, KIND), source)  # type: ignore[arg-type]
    assert source.given <= len(DATA) + 1


def test_a_writer_left_without_commit_keeps_nothing(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        with pytest.raises(RuntimeError), store.blobs.writer() as writer:
            writer.write(DATA)
            raise RuntimeError
        assert list(store.blobs.all()) == []
        assert os.listdir(store.session.path) == []


def test_without_nameless_files_the_same_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def refuse(path: object, flags: int, *rest: int, **words: int) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(95, "not supported")
        return real(path, flags, *rest, **words)  # type: ignore[arg-type]

    with Store.open(tmp_path / "store") as store:
        monkeypatch.setattr(os, "open", refuse)
        digest = store.blobs.keep(DATA, KIND).digest
        assert store.blobs.read(digest) == DATA
        assert soon(lambda: os.listdir(store.session.path) == [])  # litter is swept beside other work


def test_what_is_here_is_not_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    part = Blobs._part

    def noted(blobs: Blobs, directory: Path, undo: ExitStack) -> tuple[int, Path | None]:
        made.append(directory.name)
        return part(blobs, directory, undo)

    monkeypatch.setattr(Blobs, "_part", noted)
    with Store.open(tmp_path / "store") as store:
        for size, files in ((0, 1), (0, 0), (10, 1), (10, 0), (CHUNK + GATHER, 1), (CHUNK + GATHER, 1)):
            made.clear()
            with store.blobs.writer() as writer:
                for start in range(0, size, GATHER - 1):
                    writer.write(bytes(min(GATHER - 1, size - start)))
                assert writer.digest.hex == hashlib.sha256(bytes(size)).hexdigest()
                assert writer.commit() == (writer.digest, size)
            assert (made, store.blobs.size(writer.digest)) == (["sha256"] * files, size)


def test_names_are_settled_once_and_again_for_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(durable, "sync", synced.append)
    with Store.open(tmp_path / "store") as store:

        def settles(*relied: Digest) -> bool:
            synced.clear()
            store.blobs.settle(*relied)
            return synced == [tmp_path / "store/blobs/sha256"]

        one, two = (store.blobs.keep(data, KIND).digest for data in (b"one", b"two"))
        found = [settles(*relied) for relied in ((one,), (one,), (one, two), (two, one), ())]
        assert found == [True, False, True, False, True]
        os.unlink(store.blobs.path(one))
        assert [settles(one), settles(one), settles(two)] == [True, True, False]
        store.blobs.keep(b"one", KIND)
        assert [settles(two, one), settles(one)] == [True, False]


def test_a_lying_disk_is_noticed(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        digest = store.blobs.keep(DATA, KIND).digest
        path = store.blobs.path(digest)
        path.chmod(0o600)
        path.write_bytes(DATA[::-1])
        with pytest.raises(BlobMismatch):
            store.blobs.read(digest)


def test_what_is_not_here_is_missing(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        for ask in (store.blobs.size, store.blobs.open, store.blobs.read):
            with pytest.raises(BlobMissing, match="is not in the store"):
                ask(Digest.of(b"nothing"))


@settings(max_examples=40, deadline=None)
@given(pieces=st.lists(st.integers(0, 3 << 16), max_size=30), seed=st.binary(min_size=1, max_size=8))
def test_pieces_of_any_size_come_to_the_same(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[int], seed: bytes
) -> None:
    with Store.open(tmp_path_factory.mktemp("pieces") / "store") as store:
        whole = bytearray()
        with store.blobs.writer() as writer:
            for size in pieces:
                piece = (seed * (size // len(seed) + 1))[:size]
                writer.write(piece)
                whole += piece
            with writer.reader() as reader:
                assert reader.read() == whole
            digest, size = writer.commit()
        assert (digest.hex, size) == (hashlib.sha256(whole).hexdigest(), len(whole))
        assert store.blobs.read(digest, limit=1 << 24) == whole


@pytest.mark.parametrize("kept", [0, 3 * CHUNK + 5])
def test_zeros_take_no_room(tmp_path: Path, kept: int) -> None:
    zeros = bytes(CHUNK)
    pieces = [b"head", *[zeros] * 8, b"\0" * (CHUNK - 1) + b"x", zeros[:-1] + b"\0", b"middle", *[zeros] * 8]
    raw = b"".join(pieces)
    with Store.open(tmp_path / "store") as store:
        if kept:  # a download that was cut short, and goes on
            wanted = Descriptor.of(raw, KIND)
            with pytest.raises(BlobMismatch):
                gather(store, wanted, lambda at: io.BytesIO(raw[at:kept]))
            gather(store, wanted, lambda at: io.BytesIO(raw[at:]))
        else:
            with store.blobs.writer() as writer:
                for piece in pieces:
                    writer.write(piece)
                with writer.reader() as reader:
                    assert reader.read() == raw
                assert writer.commit() == (Digest.of(raw), len(raw))
        assert store.blobs.read(Digest.of(raw), limit=1 << 25) == raw
        held = store.blobs.path(Digest.of(raw)).stat()
        assert held.st_size == len(raw)
        assert held.st_blocks * 512 < 4 * CHUNK


def test_a_directory_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letters").write_text("dear")
    with pytest.raises(StoreFormat, match="letters"):
        Store.open(tmp_path)
    with pytest.raises(StoreFormat, match="no directory"):
        Store.open(tmp_path / "letters")


def test_a_store_of_another_version_is_refused(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store, store.db.write() as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(StoreFormat, match="version 99"):
        Store.open(tmp_path / "store")

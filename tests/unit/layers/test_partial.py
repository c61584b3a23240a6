"""Blobs that come in several runs: what is kept is gone on with, verified, locked and swept."""

import fcntl
import gzip
import io
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layers import BlobMismatch, Descriptor, Store, prune
from layers.moving.repository import Gathers, Mounts, Resumes
from layers.moving.transfer import copy
from layers.oci.mediatypes import OCI_LAYER, OCI_LAYER_GZIP
from tests.support.stored import new_image, new_layer, tar_of

TAR = tar_of({"file": bytes(range(256)) * 4096})
PACKED = gzip.compress(TAR, 1, mtime=0)
WANTED = Descriptor.of(PACKED, OCI_LAYER_GZIP)


class Cut(Exception):
    """The line is dead."""


class Line:
    """Gives the bytes of a blob from any offset, `most` of them before it is cut; notes what was asked."""

    def __init__(self, data: bytes, *most: int) -> None:
        self.data = data
        self.most = list(most)
        self.asked: list[int] = []
        self.given = 0

    def __call__(self, offset: int) -> BinaryIO:
        self.asked.append(offset)
        return Cable(self, offset, self.most.pop(0) if self.most else len(self.data))


class Cable(io.BytesIO):
    """One call's bytes."""

    def __init__(self, line: Line, offset: int, most: int) -> None:
        super().__init__(line.data[offset : offset + most])
        self.line = line
        self.cut = offset + most < len(line.data)

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes."""
        data = super().read(size)
        self.line.given += len(data)
        if not data and self.cut:
            raise Cut
        return data


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store") as store:
        yield store


def gather(store: Store, line: Callable[[int], BinaryIO], wanted: Descriptor = WANTED) -> None:
    repository = store.repository()
    assert isinstance(repository, Gathers)
    repository.gather(wanted, line)


def parts(store: Store) -> list[Path]:
    return list((store.root / "partial").iterdir())


def whole(store: Store) -> bool:
    return store.blobs.has(WANTED.digest) and store.repository().has(WANTED)


def test_in_one_go(store: Store) -> None:
    gather(store, Line(PACKED))
    assert whole(store)
    assert parts(store) == []
    assert os.stat(store.blobs.path(WANTED.digest)).st_mode & 0o777 == 0o444
    assert os.stat(store.blobs.path(WANTED.digest)).st_nlink == 1


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.integers(0, len(PACKED)), max_size=5))
def test_whatever_came_is_not_asked_for_again(tmp_path_factory: pytest.TempPathFactory, cuts: list[int]) -> None:
    with Store.open(tmp_path_factory.mktemp("x") / "store") as store:
        line = Line(PACKED, *cuts)
        for _ in range(len(cuts) + 1):
            try:
                gather(store, line)
                break
            except Cut:
                assert not store.blobs.has(WANTED.digest), "nothing that is not whole can be seen"
        assert whole(store)
        assert line.given == len(PACKED)
        assert parts(store) == []


@pytest.mark.parametrize("kind", [OCI_LAYER, "application/x-unknown"])
def test_other_kinds(store: Store, kind: str) -> None:
    wanted = Descriptor.of(TAR, kind)
    line = Line(TAR, 1000, 5000)
    for _ in range(2):
        with pytest.raises(Cut):
            gather(store, line, wanted)
    gather(store, line, wanted)
    assert line.asked == [0, 1000, 6000]
    assert store.repository().has(wanted)
    assert store.blobs.open(wanted.digest).read() == TAR


def test_a_part_that_went_bad_is_dropped_and_all_is_fetched(store: Store) -> None:
    with pytest.raises(Cut):
        gather(store, Line(PACKED, 3000))
    (part,) = parts(store)
    part.write_bytes(bytes(3000))
    line = Line(PACKED)
    gather(store, line)
    assert line.asked == [3000, 0]
    assert whole(store)


def test_a_part_that_is_too_long_is_begun_anew(store: Store) -> None:
    with pytest.raises(Cut):
        gather(store, Line(PACKED, 3000))
    (part,) = parts(store)
    part.write_bytes(bytes(len(PACKED) + 1))
    line = Line(PACKED)
    gather(store, line)
    assert line.asked == [0]


def test_a_part_that_is_whole_needs_nothing_more(store: Store) -> None:
    with pytest.raises(Cut):
        gather(store, Line(PACKED, 3000))
    (part,) = parts(store)
    part.write_bytes(PACKED)
    line = Line(PACKED)
    gather(store, line)
    assert line.given == 0


def test_wrong_bytes_leave_nothing(store: Store) -> None:
    line = Line(bytes(len(PACKED)))
    with pytest.raises(BlobMismatch):
        gather(store, line)
    assert (line.asked, parts(store), whole(store)) == ([0], [], False)


def test_a_named_part_whose_process_was_killed_is_not_written_to(store: Store) -> None:
    """Between naming the blob and dropping the part both are one file: adding to it would change the blob."""
    with pytest.raises(Cut):
        gather(store, Line(PACKED, 3000))
    (part,) = parts(store)
    os.link(part, store.root / "blobs/sha256" / ("0" * 64))
    gather(store, Line(PACKED))
    assert os.stat(store.root / "blobs/sha256" / ("0" * 64)).st_size == 3000
    assert whole(store)


def test_a_blob_that_is_here_without_its_raw_tar_is_not_fetched(store: Store) -> None:
    store.blobs.put(WANTED, io.BytesIO(PACKED))
    assert not whole(store)
    line = Line(PACKED)
    gather(store, line)
    assert (whole(store), line.asked) == (True, [])


def test_a_store_from_before_has_no_room_for_parts_yet(store: Store) -> None:
    (store.root / "partial").rmdir()
    prune(store)
    gather(store, Line(PACKED))
    assert whole(store)


def test_two_at_once_fetch_it_once(store: Store) -> None:
    line = Line(PACKED)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            gather(store, line)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert line.given == len(PACKED)


def hold(path: str, locked: object, done: object) -> None:
    """Hold a part's lock until told otherwise."""
    with open(path, "rb+") as part:
        fcntl.flock(part, fcntl.LOCK_EX)
        locked.set()  # type: ignore[attr-defined]
        done.wait(60)  # type: ignore[attr-defined]


def test_prune_sweeps_what_nobody_holds(store: Store) -> None:
    with pytest.raises(Cut):
        gather(store, Line(PACKED, 3000))
    (part,) = parts(store)
    context = multiprocessing.get_context("spawn")
    locked, done = context.Event(), context.Event()
    other = context.Process(target=hold, args=(str(part), locked, done))
    other.start()
    try:
        assert locked.wait(60)
        prune(store)
        assert parts(store) == [part]
    finally:
        done.set()
        other.join()
    found = prune(store)
    assert (parts(store), found.counts["leftovers"]) == ([], 1)
    assert found.bytes >= 3000


class Elsewhere:
    """A store as a source that can begin in the middle, through a line."""

    def __init__(self, store: Store, line: Line) -> None:
        self._local = store.repository()
        self._line = line

    def __getattr__(self, name: str) -> object:
        return getattr(self._local, name)

    def open_from(self, wanted: Descriptor, offset: int) -> BinaryIO:
        """From the line."""
        return self._line(offset)


def test_a_copy_that_was_broken_off_goes_on(store: Store, tmp_path: Path) -> None:
    layer = new_layer(store, {"big": os.urandom(3 << 20)})
    image = new_image(store, [layer], "there:1")
    data = store.blobs.open(layer.diff_id).read()
    line = Line(data, 2 << 20)
    source = Elsewhere(store, line)
    assert isinstance(source, Resumes) and not isinstance(source, Mounts)
    told: list[int] = []
    with Store.open(tmp_path / "other") as other:
        with pytest.raises(Cut):
            copy(source, "docker.io/library/there:1", other.repository(), "docker.io/library/here:1")  # type: ignore[arg-type]
        assert len(list(other.blobs.all())) <= 1
        copy(
            source,  # type: ignore[arg-type]
            "docker.io/library/there:1",
            other.repository(),
            "docker.io/library/here:1",
            progress=lambda blob, moved, total: told.append(moved),
        )
        assert other.images.get("here:1").id == image.id
    assert line.asked == [0, 2 << 20]
    assert line.given == len(data)
    assert min(told) >= 0 and len(data) in told

"""Files in directories of others: whole or not there, on every kind of file system."""

import errno
import io
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from layers import BlobMismatch, BlobMissing, Descriptor, DocumentInvalid
from layers.moving import outside

DATA = b"content" * 1000
WANTED = Descriptor.of(DATA, "text/plain")


@pytest.fixture(params=["nameless files", "none"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory, on a file system that has nameless files or answers as FAT does."""
    if request.param == "none":
        real = os.open

        def refusing(path: Any, flags: int, *rest: Any, **more: Any) -> int:
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(errno.EOPNOTSUPP, "not supported")
            return real(path, flags, *rest, **more)

        monkeypatch.setattr(os, "open", refusing)
    return tmp_path


def test_it_is_there_whole(folder: Path) -> None:
    for before in (None, b"", b"cut sho"):
        if before is not None:
            (folder / "new/x").write_bytes(before)
        outside.keep(folder / "new/x", WANTED, io.BytesIO(DATA))
        assert (folder / "new/x").read_bytes() == DATA
    assert os.listdir(folder / "new") == ["x"]
    assert (folder / "new/x").stat().st_mode & 0o777 == 0o644


def test_or_not_at_all(folder: Path) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise ConnectionResetError

    for source in (io.BytesIO(DATA[:-1]), io.BytesIO(DATA + b"x"), io.BytesIO(b"y" + DATA[1:]), Broken()):
        with pytest.raises((BlobMismatch, ConnectionResetError)):
            outside.keep(folder / "x", WANTED, source)
    assert os.listdir(folder) == []


def test_readers_see_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    texts = [letter * 50_000 for letter in (b"a", b"b")]
    outside.replace(tmp_path, "f", texts[0])
    stop = threading.Event()
    seen = set()

    def look() -> None:
        while not stop.is_set():
            seen.add((tmp_path / "f").read_bytes())

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(50):
        with outside.locked(tmp_path):
            outside.replace(tmp_path, "f", texts[number % 2])
    stop.set()
    reader.join()
    assert seen <= set(texts)


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "large").write_bytes(b"x" * 11)
    for name in ("absent", "folder", "fifo", "large/x"):
        with pytest.raises(BlobMissing):
            outside.open_regular(tmp_path / name, name, "here")
    with pytest.raises(OSError, match="symbolic links"):
        outside.open_regular(tmp_path / "loop", "loop", "here")
    with pytest.raises(DocumentInvalid, match="larger than 10"):
        outside.read_small(tmp_path / "large", "large", "here", 10)


def test_a_file_takes_its_name_when_it_is_complete(folder: Path) -> None:
    target = folder / "out.tar"
    target.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), outside.replacing(target) as sink:
        sink.write(b"half")
        sink.flush()
        _ = 1 / 0
    assert os.listdir(folder) == ["out.tar"] and target.read_bytes() == b"old"
    mask = os.umask(0o027)
    try:
        with outside.replacing(target) as sink:
            sink.write(b"new")
    finally:
        os.umask(mask)
    assert os.listdir(folder) == ["out.tar"] and target.read_bytes() == b"new"
    assert target.stat().st_mode & 0o777 == 0o640


def test_who_is_killed_leaves_nothing_beside_the_file(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from layers.moving import outside\n"
        "with outside.replacing(Path(sys.argv[1])) as sink:\n"
        "    sink.write(bytes(1 << 20)); sink.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "out.tar")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_told_with_what_was_to_be_written(folder: Path) -> None:
    target = folder / "out.tar"
    with pytest.raises(OSError, match="No space left") as failed, outside.replacing(target):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert failed.value.filename == str(target)
    with pytest.raises(OSError, match="Input") as failed, outside.replacing(target):
        raise OSError(errno.EIO, "Input/output error")  # which may be of what is read
    assert failed.value.filename is None
    assert os.listdir(folder) == []

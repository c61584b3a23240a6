"""A COPY takes over from the layer that it made last; what comes out is what a fresh COPY makes."""

import os
import random
import threading
from pathlib import Path

import pytest

from builder.build import build
from builder.ops.last import LEAST
from builder.request import BuildRequest
from builder.workbench import Workbench
from layers import Store

DOCKERFILE = b"FROM scratch\nCOPY --chmod=u=rwX,go=rX . /all\n"
FILES = 3 * LEAST


def fill(context: Path) -> None:
    """Files of several sizes in directories, links of both kinds, an empty file, extended attributes."""
    source = random.Random(3)
    for number in range(FILES):
        file = context / f"d{number % 7}" / f"file-{number:03}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(source.randbytes(source.choice([1, 511, 512, 513, 5000])))
        os.utime(file, ns=(0, 10**18 + number * source.choice([10**9, 1])))
    (context / "d3/empty").touch()
    (context / "d3/link").symlink_to("file-003")
    os.link(context / "d5/file-005", context / "d5/twin")
    os.setxattr(context / "d1/file-001", "user.note", b"kept")


def layer(store: Store, context: Path, *, anew: bool = False) -> str:
    request = BuildRequest(context=context, text=DOCKERFILE, no_cache=anew)

    def no_runtime() -> None:
        raise AssertionError("nothing is run")

    result = build(request, Workbench(store, no_runtime), lambda _: None, threading.Event())  # type: ignore[arg-type]
    return str(store.images.get(str(result.image_id)).chain.diff_ids[-1])


def rewrite(path: Path) -> None:
    """Other bytes of the same length, at the same time."""
    status = path.stat()
    path.write_bytes(bytes(255 - byte for byte in path.read_bytes()))
    os.utime(path, ns=(0, status.st_mtime_ns))


def change(context: Path, what: str) -> None:
    match what:
        case "a file grows":
            (context / "d2/file-002").write_bytes(b"longer" * 999)
        case "the first file":
            (context / "d0/file-000").write_bytes(b"x")
        case "the last file":
            (context / "d6" / max(os.listdir(context / "d6"))).write_bytes(b"x")
        case "same size, same time":
            rewrite(context / "d4/file-004")
        case "a file comes first":
            (context / "a").write_bytes(b"first")
        case "a file comes in between":
            (context / "d3/file-003.new").write_bytes(b"new")
        case "a file goes":
            (context / "d6/file-006").unlink()
        case "all files of a directory go":
            for path in (context / "d2").iterdir():
                path.unlink()
        case "a mode":
            (context / "d1/file-008").chmod(0o700)
        case "times, beside a change":
            os.utime(context / "d1/file-008", ns=(0, 5))
            os.utime(context / "d1", ns=(0, 6))
            (context / "a").write_bytes(b"a change")
        case "a symlink":
            (context / "d3/link").unlink()
            (context / "d3/link").symlink_to("file-010")
        case "the first of two names":
            (context / "d5/file-005").unlink()
        case "the other name":
            (context / "d5/twin").unlink()
        case "an attribute":
            os.setxattr(context / "d1/file-001", "user.note", b"changed")
        case "an attribute goes":
            os.removexattr(context / "d1/file-001", "user.note")
        case "a file becomes a directory":
            (context / "d4/file-011").unlink()
            (context / "d4/file-011").mkdir()
        case "every other file":
            for path in sorted((context / "d5").iterdir())[::2]:
                path.write_bytes(b"changed")
        case _:
            raise AssertionError(what)


CHANGES = (
    "a file grows", "the first file", "the last file", "same size, same time", "a file comes first",
    "a file comes in between", "a file goes", "all files of a directory go", "a mode", "times, beside a change",
    "a symlink", "the first of two names", "the other name", "an attribute", "an attribute goes",
    "a file becomes a directory", "every other file",
)  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_the_same_bytes_as_anew(what: str, tmp_path: Path) -> None:
    context = tmp_path / "context"
    fill(context)
    with Store.open(tmp_path / "store") as store:
        layer(store, context)
        change(context, what)
        again = layer(store, context)
    with Store.open(tmp_path / "other") as store:
        assert layer(store, context) == again


def test_only_what_changed_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = tmp_path / "context"
    fill(context)
    monkeypatch.setattr("builder.contexts.statcache.RACY", -(10**18))  # as if all had been written long ago
    with Store.open(tmp_path / "store") as store:
        layer(store, context)
        (context / "d2/file-002").write_bytes(b"changed")
        opened: list[str] = []
        real = os.open

        def noted(path: str | bytes | Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            if (name := os.fsdecode(path)).startswith(("file-", "empty")):
                opened.append(name)
            return real(path, flags, mode, dir_fd=dir_fd)

        monkeypatch.setattr(os, "open", noted)
        layer(store, context)
        assert opened == ["file-002"] * 2  # once for its digest, once for its bytes
        opened.clear()
        layer(store, context, anew=True)
        assert len(set(opened)) == FILES + 1  # --no-cache believes nothing that was made before


def test_a_layer_that_is_gone_is_no_help_and_no_harm(tmp_path: Path) -> None:
    context = tmp_path / "context"
    fill(context)
    with Store.open(tmp_path / "store") as store:
        first = layer(store, context)
        store.blobs.path(store.images.list()[0].chain.diff_ids[-1]).unlink()
        (context / "d0/file-000").write_bytes(b"x")
        assert layer(store, context) != first

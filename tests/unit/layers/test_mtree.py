"""Manifests of directories in go-mtree's dialect, read back by a reader of our own."""

import hashlib
import io
import os
import re
from base64 import b64decode
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from layers.bundles import mtree
from layers.disk.paths import Root


def unvis(word: str) -> bytes:
    """vis(3) undone."""
    return re.sub(
        rb"\\(\\|[0-7]{3})",
        lambda found: b"\\" if found[1] == b"\\" else bytes((int(found[1], 8),)),
        word.encode("ascii"),
    )


def parse(text: str) -> dict[bytes, dict[str, str]]:
    """Path → keywords, those of /set included."""
    found: dict[bytes, dict[str, str]] = {}
    where: list[bytes] = []
    common: dict[str, str] = {}
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        pairs = dict(word.split("=", 1) for word in words[1:])
        if words[0] == "/set":
            common = pairs
        elif words[0] == "..":
            where.pop()
        else:
            name = unvis(words[0])
            path = b"/".join([*where[1:], name]) if where else b"."
            found[path] = {**common, **pairs}
            if pairs.get("type") == "dir":
                where.append(name)
    assert not where
    return found


def manifest(place: Path) -> str:
    sink = io.StringIO()
    with Root(place) as root:
        mtree.write(root, sink)
    return sink.getvalue()


@given(st.binary(max_size=40))
def test_any_name_is_one_word_and_comes_back(raw: bytes) -> None:
    word = mtree.vis(raw.decode("utf-8", "surrogateescape"))
    assert unvis(word) == raw
    assert not set(word) & set(" \t\n#*?[") and word.isascii()


def test_every_kind_of_thing(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "dir" / "inner").mkdir(parents=True)
    (root / "dir").chmod(0o1777)
    (root / "file").write_bytes(b"content")
    (root / "file").chmod(0o4750)
    os.utime(root / "file", ns=(0, 1_234_567_890_123_456_789))
    os.setxattr(root / "file", "user.a b", b"\0\xff")
    os.link(root / "file", root / "dir" / "zlink")
    (root / "soft").symlink_to("a b\\c")
    os.mkfifo(root / "fifo", 0o600)
    (root / "none").touch()
    (root / "none").chmod(0)
    (root / os.fsdecode(b"b\xffad\nname")).touch()
    text = manifest(root)
    found = parse(text)
    assert list(found) == [
        b".", b"b\xffad\nname", b"fifo", b"file", b"none", b"soft", b"dir", b"dir/zlink", b"dir/inner"
    ]  # fmt: skip
    file = found[b"file"]
    assert file == {**found[b"dir/zlink"]}
    assert (file["size"], file["type"], file["mode"], file["nlink"]) == ("7", "file", "04750", "2")
    assert file["tar_time"] == "1234567890.000000000"
    assert file["sha256digest"] == hashlib.sha256(b"content").hexdigest()
    assert b64decode(file["xattr.user.a\\040b"]) == b"\0\xff"
    assert unvis(found[b"soft"]["link"]) == b"a b\\c"
    assert (found[b"soft"]["type"], found[b"soft"]["mode"]) == ("link", "0777")
    assert found[b"fifo"]["type"] == "fifo"
    assert found[b"none"]["mode"] == "0"
    assert found[b"dir"]["mode"] == "01777"
    assert text == manifest(root)


def test_depth_is_no_matter(tmp_path: Path) -> None:
    place = tmp_path / "root"
    for _ in range(300):
        place /= "d"
    place.mkdir(parents=True)
    assert len(parse(manifest(tmp_path / "root"))) == 301

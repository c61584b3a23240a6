"""A line in passwd and group for who keeps their number, written into files of an image that may be anything."""

import os
from pathlib import Path

import pytest

from builder.containers.introducing import introduce
from runner import Ids, rootless
from runner.ids import Range


def both(*ranges: Range) -> Ids:
    """The same for users and groups."""
    return Ids(ranges, ranges)


KEEPING = both(Range(0, 100000, 1000), Range(1000, 1000, 1))


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an image, where user 1000 of no name keeps their number."""
    monkeypatch.setattr(rootless, "owner", lambda: 1000)
    monkeypatch.setattr(rootless, "group", lambda: 1000)
    monkeypatch.setattr("builder.containers.introducing._name", lambda user: f"user{user}")
    (tmp_path / "etc").mkdir()
    return tmp_path / "etc"


def test_a_line_is_added_once(etc: Path) -> None:
    (etc / "passwd").write_text("root:x:0:0::/root:/bin/sh")  # its last line has no end
    (etc / "group").write_text("")
    for _ in range(2):
        introduce(etc.parent, KEEPING, "/work")
    assert (etc / "passwd").read_text() == ("root:x:0:0::/root:/bin/sh\nuser1000:x:1000:1000:user1000:/work:/bin/sh\n")
    assert (etc / "group").read_text() == "user1000:x:1000:\n"


def test_who_is_known_or_moved_stays_as_they_are(etc: Path) -> None:
    for name, text in (("passwd", "node:x:1000:1000::/home/node:/bin/sh\n"), ("group", "root:x:0:\n")):
        (etc / name).write_text(text)
    moved = both(Range(0, 1000, 1), Range(1, 100000, 65536))
    for ids in (None, moved, both(Range(0, 100000, 10))):
        introduce(etc.parent, ids, "/")
    assert (etc / "group").read_text() == "root:x:0:\n"
    introduce(etc.parent, KEEPING, "/")
    assert (etc / "passwd").read_text() == "node:x:1000:1000::/home/node:/bin/sh\n"


def test_what_is_no_file_is_left_alone(etc: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "passwd"
    outside.write_text("theirs\n")
    os.mkfifo(etc / "passwd")
    introduce(etc.parent, KEEPING, "/")  # no group at all
    assert os.listdir(etc) == ["passwd"]
    (etc / "passwd").unlink()
    for target in (str(outside), "../../../../../../.." + str(outside), "passwd"):
        (etc / "passwd").symlink_to(target)
        introduce(etc.parent, KEEPING, "/")
        (etc / "passwd").unlink()
    assert outside.read_text() == "theirs\n"

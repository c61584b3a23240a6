"""`build --device`: devices of the host that every RUN has, under the rules of `run --device`."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.command import Pybuild

pytestmark = pytest.mark.root
OPEN = "exec 3<>/dev/given && test -c /dev/given"


@pytest.fixture
def fuse() -> Iterator[str]:
    """The device that file systems of users are made of, as most machines have it: for everybody."""
    with TemporaryDirectory(prefix="pybuild-devices-") as folder:
        os.chmod(folder, 0o755)
        node = f"{folder}/fuse"
        os.mknod(node, 0o666 | stat.S_IFCHR, os.makedev(10, 229))
        os.chmod(node, 0o666)
        yield node


def build(pybuild: Pybuild, *flags: str, run: str, code: int = 0) -> str:
    """What a build of one RUN says."""
    text = f"FROM busybox\nRUN {run}\n"
    return pybuild("build", "--no-cache", "--progress", "plain", *flags, "-", stdin=text, code=code).stderr


@pytest.mark.parametrize("userns", ["auto", "host"])
def test_a_step_has_it_and_may_use_it_as_was_said(userns: str, fuse: str, shared_pybuild: Pybuild) -> None:
    flags = ("--userns", userns)
    build(shared_pybuild, *flags, "--device", f"{fuse}:/dev/given", run=OPEN)
    said = build(shared_pybuild, *flags, "--device", f"{fuse}:/dev/given:r", run=OPEN, code=1)
    assert "Operation not permitted" in said or "Permission denied" in said
    build(shared_pybuild, *flags, run="! test -e /dev/given && ! test -e /dev/fuse")


def test_the_layer_has_nothing_of_it_and_the_cache_does_not_ask(fuse: str, shared_pybuild: Pybuild) -> None:
    text = "FROM busybox\nRUN : given devices; touch /made; ls /dev\n"
    image = shared_pybuild("build", "-q", "--device", f"{fuse}:/dev/fuse", "-", stdin=text).stdout.strip()
    assert shared_pybuild.text("diff", "busybox", image).split() == ["A", "/made"]
    assert "CACHED" in shared_pybuild("build", "--progress", "plain", "-", stdin=text).stderr.replace("#1 CACHED", "")


def test_a_shell_where_it_failed_has_it_too(fuse: str, shared_pybuild: Pybuild) -> None:
    said = build(shared_pybuild, "--device", f"{fuse}:/dev/given", run="exit 7", code=7)
    kept = said.partition("pybuild diff ")[2].split()[0]
    shared_pybuild("debug", kept, "sh", "-c", OPEN)
    shared_pybuild("rm", kept)


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("/dev/nope", "No such file"),
        ("/etc/passwd", "no device"),
        ("/dev/null:/etc/x", "below /dev"),
        ("vendor.com/class=one", "write RUN --device=vendor.com/class=one"),
    ],
)
def test_what_is_none(device: str, words: str, shared_pybuild: Pybuild, tmp_path: Path) -> None:
    assert words in build(shared_pybuild, "--device", device, run="true", code=2)

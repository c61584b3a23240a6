"""`--device`: a node of the host that only its root may open is opened by the root inside, and by nobody else."""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import Pybuild
from tests.support.peers import need
from tests.support.person import FIRST, Person

pytestmark = pytest.mark.root
ALONE = ("run", "--rm", "--network", "none")
LOOP = os.makedev(10, 237)
"""/dev/loop-control."""


@pytest.fixture
def node() -> Iterator[Path]:
    """A device that only the host's root may open, and its group 44."""
    with tempfile.TemporaryDirectory(prefix="pybuild-devices-") as folder:
        os.chmod(folder, 0o755)
        path = Path(folder, "node")
        os.mknod(path, 0o640 | stat.S_IFCHR, LOOP)
        os.chown(path, 0, 44)
        os.chmod(path, 0o640)
        yield path


@pytest.mark.parametrize("userns", [["auto"], ["keep-id"], ["host"], ["map", "--uidmap", "0:500000:40"]])
def test_roots_own_is_opened_by_the_root_inside(userns: list[str], node: Path, shared_pybuild: Pybuild) -> None:
    def said(line: str, *more: str, code: int = 0) -> tuple[str, str]:
        done = shared_pybuild(*ALONE, "--userns", *userns, *more, "busybox", "sh", "-c", line, code=code)
        return done.stdout.strip(), done.stderr

    device = ("--device", f"{node}:/dev/deep/given", "--device", "/dev/full:/dev/other")
    line = (
        "stat -c '%u:%g %a %t:%T' /dev/deep/given; "
        "exec 3<>/dev/deep/given && ls -A /dev; grep -c given /proc/mounts; true"
    )
    owner, *names, count = said(line, *device)[0].split("\n")
    assert owner == ("0:0 600" if "map" in userns else "0:44 640") + " a:ed"  # that map has no 44
    assert {"deep", "other", "null"} <= set(names) and ".given" not in names
    assert count == ("0" if "host" in userns else "1")
    assert "Permission denied" in said(": </dev/deep/given", *device, "-u", "7", code=1)[1]
    if "map" not in userns:
        said(": </dev/deep/given", *device, "-u", "7:44")
    readable = ("--device", f"{node}:/dev/given:r")
    said(": </dev/given", *readable)
    assert "Operation not permitted" in said(": >/dev/given", *readable, code=1)[1]
    others = "chmod 666 /dev/given; mknod /tmp/disk b 7 0 2>/dev/null; ! (: </tmp/disk)"
    said(others, "--device", f"{node}:/dev/given")
    assert (node.stat().st_mode & 0o777, node.stat().st_gid) == (0o640, 44)


def test_a_step_has_it_and_so_has_who_looks_where_it_failed(node: Path, shared_pybuild: Pybuild) -> None:
    text = "FROM busybox\nRUN exec 3<>/dev/given && exit 7"
    said = shared_pybuild("build", "--no-cache", "--device", f"{node}:/dev/given", "-", stdin=text, code=7).stderr
    kept = said.partition("pybuild diff ")[2].split()[0]
    shared_pybuild("debug", kept, "sh", "-c", "exec 3<>/dev/given")
    shared_pybuild("rm", kept)


@pytest.fixture(scope="module")
def person() -> Iterator[Person]:
    """Somebody who is not root."""
    need("newuidmap", "uidmap")
    home = Path(tempfile.mkdtemp(prefix="pybuild-homes-"))
    try:
        home.chmod(0o755)
        found = Person.settle(home / "person", uid=4332)
        found.base("busybox")
        yield found
    finally:
        shutil.rmtree(home)


def test_without_root_it_is_given_to_whom_this_machine_gives_it(node: Path, person: Person) -> None:
    open_it = ("busybox", "sh", "-c", "exec 3<>/dev/given")
    for flags in ((), ("--userns", "keep-id"), ("--uidmap", f"0:{FIRST}:100")):
        refused = person(*ALONE, *flags, "--device", f"{node}:/dev/given", "busybox", "true", code=125).stderr
        assert f"{node} can be opened by its owner and group only (mode 0640)" in refused and "chmod" in refused
        node.chmod(0o666)
        person(*ALONE, *flags, "--device", f"{node}:/dev/given", *open_it)
        person(*ALONE, *flags, "-u", "9", "--device", f"{node}:/dev/given", *open_it)
        node.chmod(0o640)
    os.chown(node, person.uid, 0)
    person(*ALONE, "--device", f"{node}:/dev/given", *open_it)
    refused = person(*ALONE, "--device", f"{node}:/dev/given:r", "busybox", "true", code=125).stderr
    assert "leave out that it may be opened for r only" in refused
    text = "FROM busybox\nRUN exec 3<>/dev/given"
    person("build", "--no-cache", "--device", f"{node}:/dev/given", "-", stdin=text)

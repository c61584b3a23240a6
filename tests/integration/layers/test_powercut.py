"""The power is cut at any moment of a build, a commit, a pull, a prune: what is on the disk then is never a lie."""

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Protocol

import pytest

from builder.containers import Containers
from layers import Store, prune
from layers.home.check import check
from tests.support.command import Pybuild
from tests.support.peers import need
from tests.support.powercut import Disk, record, replay
from tests.support.registry import RegistryServer
from tests.support.stored import new_image, new_layer

pytestmark = pytest.mark.root
SEED = 20_261_125
SHARE = 0.15
"""Of the calls that touch the store: after these the power is cut, as after every sync."""


class Look(Protocol):
    """Looks at what a cut has left: names that must be there, and names that may be."""

    def __call__(self, root: Path, least: set[str], most: set[str], *, work: bool) -> None: ...


class Machine:
    """A store whose machine loses power again and again while commands run."""

    def __init__(self, pybuild: Pybuild, folder: Path) -> None:
        need("strace")
        self.pybuild = pybuild
        self.folder = folder
        self.folder.mkdir()
        self.disk = Disk(pybuild.root)
        self.dice = random.Random(SEED)
        self.cuts = 0

    def names(self) -> set[str]:
        """What `images` tells; of a copy, for who looks first moves what is in the log, and nobody records that."""
        if not self.pybuild.root.exists():
            return set()
        copy = self.folder / "names"
        copy.mkdir()
        for file in self.pybuild.root.glob("db.sqlite*"):
            shutil.copy(file, copy)
        with closing(sqlite3.connect(copy / "db.sqlite")) as db:
            found = {name for (name,) in db.execute("SELECT name FROM ref")}
        shutil.rmtree(copy)
        return found

    def do(self, *command: str | Path, look: Look | None = None) -> None:
        """Run a command, then cut the power at many moments of it and look at what is left each time."""
        before = self.names()
        seen = record(self.pybuild.command(*command), self.pybuild.environment, self.folder)
        after = self.names()
        look = look or believe
        left = self.folder / "left"
        for at, call in enumerate(replay(self.disk, seen)):
            if call.name in ("fsync", "fdatasync") or self.dice.random() < SHARE:
                for dice in (None, random.Random(SEED + at)):
                    self.disk.leave(left, dice)
                    look(left, before & after, before | after, work=self.dice.random() < 0.05)
                    self.cuts += 1
        self.disk.leave(left, None)
        look(left, after, after, work=True)


def mend(root: Path, least: set[str], most: set[str], *, work: bool) -> None:
    """A repair that was cut off is done by the next one, and nothing is lost by that."""
    with Store.open(root) as store:
        assert not any(damage.lost for damage in check(store, repair=True).damages)
    believe(root, least, most, work=work)


def believe(root: Path, least: set[str], most: set[str], *, work: bool) -> None:
    """What a store says after the cut is true: nothing is damaged, what people were told is there, work goes on."""
    with Store.open(root) as store:
        damages = check(store).damages
        assert damages == ()
        told = {str(name) for name, _ in store.images.names()}
        assert least <= told <= most
        for image in store.images.list():
            for _ in store.tree(image.chain).walk():
                pass
        for container in Containers(store).list():
            assert container.settings.image or container.state()
        for record in store.records.list():
            assert all(map(store.blobs.has, store.records.layers(record.key)))
    if work:
        with Store.open(root) as store:
            store.sweep()
            assert store.db.rows("SELECT session FROM lease") == []
            new_image(store, [new_layer(store, {"after": b"the cut"})], "after:1")
            prune(store)
            assert check(store).damages == ()


@pytest.fixture
def boot(monkeypatch: pytest.MonkeyPatch) -> None:
    """We look at the disk in another boot than the commands wrote in."""
    for module in ("snapshot.lowers", "home.collect", "home.check"):
        monkeypatch.setattr(f"layers.{module}.boot_id", lambda: "the next boot")


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    for number in range(3):
        (folder / f"file-{number}").write_text(f"{number}\n" * 3000)
    return folder


def written(folder: Path, dockerfile: str) -> Path:
    (folder / "Dockerfile").write_text(dockerfile)
    return folder


@pytest.mark.usefixtures("boot")
def test_a_new_store(tmp_path: Path, context: Path) -> None:
    machine = Machine(Pybuild(tmp_path / "deep/store"), tmp_path / "machine")
    machine.do("build", "-q", "-t", "one", written(context, "FROM scratch\nCOPY . /a\nWORKDIR /b\n"))
    machine.do("rmi", "one")
    assert machine.cuts > 20


@pytest.mark.usefixtures("boot")
def test_builds_containers_and_prune(pybuild: Pybuild, tmp_path: Path, context: Path) -> None:
    pybuild.base("busybox")
    machine = Machine(pybuild, tmp_path / "machine")
    written(context, "FROM busybox\nCOPY . /a\nRUN echo b > /b\n")
    machine.do("build", "-q", "-t", "one", context)
    machine.do("run", "--name", "changed", "one", "touch", "/c")
    machine.do("commit", "changed", "two")
    machine.do("build", "-q", "--squash", "--no-cache", "-t", "one", context)
    machine.do("rm", "changed")
    machine.do("rmi", "two")
    machine.do("prune", "--force")
    machine.do("prune", "--force", "--all")


@pytest.mark.usefixtures("boot")
def test_pull_push_and_load(pybuild: Pybuild, tmp_path: Path, context: Path, registry: RegistryServer) -> None:
    machine = Machine(pybuild, tmp_path / "machine")
    pybuild.build(written(context, "FROM scratch\nCOPY . /a\nCOPY . /b\n"), "-t", registry.reference("cut:1"))
    machine = Machine(pybuild, tmp_path / "machine2")
    machine.do("push", registry.reference("cut:1"))
    pybuild("save", "-o", tmp_path / "saved.tar", registry.reference("cut:1"))
    Machine(Pybuild(tmp_path / "pulled"), tmp_path / "machine3").do("pull", registry.reference("cut:1"))
    Machine(Pybuild(tmp_path / "loaded"), tmp_path / "machine4").do("load", "-i", tmp_path / "saved.tar")


@pytest.mark.usefixtures("boot")
def test_a_repair(pybuild: Pybuild, tmp_path: Path, context: Path, registry: RegistryServer) -> None:
    name = registry.reference("mended:1")
    pybuild.build(written(context, "FROM scratch\nCOPY . /a\nWORKDIR /b\n"), "-t", name)
    pybuild("push", name)
    pybuild("prune", "--all", "--force")
    pybuild("pull", name)
    with Store.open(pybuild.root) as store:
        image = store.images.get(name)
        for digest in (image.config.diff_ids[0], image.manifest.descriptor.digest):
            store.blobs.path(digest).chmod(0o600)
            store.blobs.path(digest).write_bytes(b"spoiled")
        store.blobs.path(image.manifest.layers[1].digest).unlink()
        with store.db.write() as db:
            db.execute("DELETE FROM edge WHERE child = ?", (str(image.config.diff_ids[1]),))
    machine = Machine(pybuild, tmp_path / "machine")
    machine.do("system", "check", "--repair", look=mend)
    assert machine.cuts > 10

"""kill -9 at two hundred random moments: the store is whole, the next run succeeds, nothing is left behind."""

import random
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from layers import Reference, Store, prune
from layers.home.check import check
from tests.support.command import Pybuild
from tests.support.registry import RegistryServer
from tests.support.residue import leaked
from tests.support.stored import new_image, new_layer

pytestmark = [pytest.mark.root, pytest.mark.slow]
KILLS = 100
"""In each of two stores at once."""
AGAIN = 4
"""After so many kills the command that was killed last must succeed."""
SEED = 20_261_124


def project(folder: Path, files: int) -> Path:
    """COPY, RUN, mounts and two stages that run at the same time."""
    folder.mkdir()
    for number in range(files):
        (folder / f"file-{number}").write_text(f"{number}\n" * 200)
    (folder / "Dockerfile").write_text(
        "FROM busybox AS side\nRUN for i in $(seq 200); do echo $i > /side-$i; done\nRUN sleep 0.05\n"
        "FROM busybox\nCOPY . /all\nRUN cp -r /all /again\nRUN rm -r /all/file-1* && sleep 0.05\n"
        "COPY --from=side /side-7 /\nRUN cat /side-7 > /done\n"
        "RUN --mount=target=/c,rw --mount=from=side,target=/s --mount=type=cache,sharing=locked,target=/k "
        "cp /c/file-? /s/side-? /k/ && mv /c/file-7 /k/kept && cp /k/kept /\n"
    )
    return folder


@dataclass
class Victim:
    """A store on which commands are killed."""

    pybuild: Pybuild
    context: Path
    registry: RegistryServer
    archive: Path
    dice: random.Random
    lengths: dict[str, float] = field(default_factory=dict)
    count: int = 0

    def forget(self, name: str) -> None:
        """Remove an image whole, so that it has to come anew."""
        with Store.open(self.pybuild.root) as store:
            store.images.untag(Reference.parse(name))
            prune(store, cache=False)

    def litter(self) -> None:
        """Give prune something to do."""
        with Store.open(self.pybuild.root) as store:
            for number in range(10):
                new_image(store, [new_layer(store, {f"{self.count}-{number}": b"x" * 50_000})])

    def name(self) -> str:
        """A repository that does not exist yet, for the image to be pushed to."""
        self.count += 1
        name = self.registry.reference(f"killed-{id(self)}-{self.count}:1")
        with Store.open(self.pybuild.root) as store:
            store.images.tag(Reference.parse(name), store.images.get("app").target)
        return name

    def prepared(self, kind: str) -> list[str | Path]:
        """A command that has all of its work to do."""
        self.count += 1
        match kind:
            case "build":
                return ["build", "--no-cache", "-q", "-t", "built", self.context]
            case "squash":
                return ["build", "--no-cache", "--squash", "-q", "-t", "squashed", self.context]
            case "commit":
                return ["commit", "changed", f"kept:{self.count % 3}"]
            case "pull":
                self.forget(self.registry.reference("pulled:1"))
                return ["pull", "-q", self.registry.reference("pulled:1")]
            case "load":
                self.forget("loaded:1")
                return ["load", "-q", "-i", self.archive]
            case "push":
                return ["push", "-q", self.name()]
            case _:
                self.litter()
                return ["prune", "--force"]

    def kill(self, command: list[str | Path], kind: str) -> None:
        """Run a command and kill it at a random moment of its life."""
        with subprocess.Popen(
            self.pybuild.command(*command),
            env=self.pybuild.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            time.sleep(self.dice.uniform(0.05, 1) * self.lengths[kind])
            process.kill()

    def run(self) -> None:
        """Kill, look, and now and then let the command have its way."""
        kinds = ["build", "squash", "commit", "pull", "load", "push", "prune"]
        for kind in kinds:
            command = self.prepared(kind)
            began = time.monotonic()
            self.pybuild(*command)
            self.lengths[kind] = min(time.monotonic() - began, 0.8)
        for number in range(KILLS):
            kind = kinds[number % len(kinds)]
            command = self.prepared(kind)
            self.kill(command, kind)
            with Store.open(self.pybuild.root) as store:
                assert check(store).damages == (), f"after {kind}"
            if number % AGAIN == AGAIN - 1:
                self.pybuild(*command)
        self.pybuild("prune", "--force")
        self.pybuild("build", "--no-cache", "-q", "-t", "last", self.context)


def test_killed_at_random_moments(tmp_path: Path, registry: RegistryServer) -> None:
    first = Pybuild(tmp_path / "first", {"DOCKER_CONFIG": str(tmp_path / "docker-config")})
    first.base("busybox")
    context = project(tmp_path / "context", 40)
    first.build(context, "-t", "app", "-t", "loaded:1", "-t", registry.reference("pulled:1"))
    first("push", registry.reference("pulled:1"))
    first("save", "-o", tmp_path / "saved.tar", "loaded:1")
    first("run", "--name", "changed", "app", "cp", "-r", "/all", "/more")
    subprocess.run(["cp", "-a", first.root, tmp_path / "second"], check=True)
    victims = [
        Victim(Pybuild(root, first.env), context, registry, tmp_path / "saved.tar", random.Random(SEED + at))
        for at, root in enumerate((tmp_path / "first", tmp_path / "second"))
    ]
    with leaked(tmp_path) as left, ThreadPoolExecutor(2) as pool:
        list(pool.map(Victim.run, victims))
    assert not left
    for victim in victims:
        root = victim.pybuild.root
        with Store.open(root) as store:
            assert store.db.rows("SELECT * FROM lease") == []
        assert not list((root / "scratch").iterdir())
        assert not list((root / "locks").iterdir())
        victim.pybuild("system", "check")


def test_eight_processes_on_one_store(pybuild: Pybuild, tmp_path: Path, registry: RegistryServer) -> None:
    """Two build apart, two build the same, two pull the same, one prunes, one checks: nobody is in anybody's way."""
    pybuild.base("busybox")
    contexts = [project(tmp_path / f"context-{number}", 100) for number in range(2)]
    pulled = registry.reference("pulled-at-once:1")
    (tmp_path / "once").mkdir()
    (tmp_path / "once/file").write_bytes(random.Random(SEED).randbytes(3_000_000))
    (tmp_path / "once/Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    pybuild.build(tmp_path / "once", "-t", pulled)
    pybuild("push", "-q", pulled)
    with leaked(pybuild.root) as left:
        for round_ in range(3):
            pybuild("rmi", pulled)
            with Store.open(pybuild.root) as store:
                prune(store, cache=round_ == 1)
            commands: list[list[str | Path]] = [
                ["build", "-q", "--no-cache", "-t", "own-0", contexts[0]],
                ["build", "-q", "--no-cache", "-t", "own-1", contexts[1]],
                ["build", "-q", "-t", f"same-0-{round_}", contexts[0]],
                ["build", "-q", "-t", f"same-1-{round_}", contexts[0]],
                ["pull", "-q", pulled],
                ["pull", "-q", pulled],
                ["prune", "--force"],
                ["system", "check"],
            ]
            running = [
                subprocess.Popen(
                    pybuild.command(*command),
                    env=pybuild.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
                for command in commands
            ]
            for command, process in zip(commands, running, strict=True):
                out, said = process.communicate(timeout=200)
                assert process.returncode == 0, f"{command}: {out}{said}"
        pybuild("system", "check")
    assert not left
    assert pybuild.text("run", "--rm", "own-1", "cat", "/done") == "7"


def test_nobody_waits_for_a_blob_that_is_being_written(pybuild: Pybuild, tmp_path: Path) -> None:
    """A download that stands still holds no lock: builds, prunes and checks go on beside it."""
    pybuild.base("busybox")
    context = project(tmp_path / "context", 10)
    with Store.open(pybuild.root) as store, store.blobs.writer() as writer:
        writer.write(b"half of it, then the network stands still" * 100_000)
        began = time.monotonic()
        pybuild.build(context, "-t", "beside")
        pybuild("prune", "--force")
        pybuild("system", "check")
        assert time.monotonic() - began < 60  # the database waits that long for a transaction of another process
        digest, _ = writer.commit()
        assert store.blobs.has(digest)

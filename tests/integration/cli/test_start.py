"""What a command loads: each module takes a tenth of a millisecond, some of them ten times that."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.networks import forsaken
from tests.support.command import Pybuild
from tests.support.soon import soon

pytestmark = pytest.mark.root
OURS = ("builder", "layers", "pybuild", "registry", "runner")
NEVER = frozenset(
    "asyncio bz2 concurrent.futures dataclasses email gettext http inspect isal lark logging lzma multiprocessing oras "
    "platform random registry requests rich secrets shutil ssl tempfile textwrap urllib.parse uuid zstandard".split()
)
SPARED = frozenset("array click datetime selectors socket sqlite3 typing".split())
"""By who does not even read a command line that is out of the way."""
COSTLY = frozenset("ctypes enum fnmatch heapq importlib json math re resource signal weakref".split())
"""And by who runs something."""
LOOK = """
import os, sys
import pybuild.__main__ as program

def leave(code):
    with open(os.environ["LOADED"], "w") as file:
        file.write("\\n".join([*sys.modules]))
    end(code)

end, program.leave = program.leave, leave
sys.argv = ["pybuild", *sys.argv[1:]]
program.main()
"""


@pytest.fixture
def running(shared_pybuild: Pybuild) -> Iterator[str]:
    """A container that runs."""
    name = f"start-{os.urandom(4).hex()}"
    shared_pybuild("run", "-d", "--name", name, "--network", "none", "busybox", "sleep", "1000")
    yield name
    shared_pybuild("rm", "-f", name)


def loaded(command: Pybuild, tmp_path: Path, *words: str) -> set[str]:
    """The modules that are there when a command ends well."""
    environment = {**command.environment, "LOADED": str(tmp_path / "loaded")}
    done = subprocess.run([sys.executable, "-c", LOOK, *words], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set((tmp_path / "loaded").read_text().split("\n"))


def ours(modules: set[str]) -> int:
    """How many of them are pybuild's."""
    return sum(name.partition(".")[0] in OURS for name in modules)


def test_help(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    found = loaded(shared_pybuild, tmp_path, "--help")
    assert not sorted(found & (NEVER - {"bz2", "lzma", "shutil", "textwrap"})), "click wraps help by these"
    assert not sorted(found & {"builder", "layers.errors", "runner", "json", "sqlite3", "ctypes", "socket"})
    assert ours(found) < 15


def test_ps(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    found = loaded(shared_pybuild, tmp_path, "ps")
    assert not sorted(found & (NEVER | {"socket", "subprocess", "ctypes", "layers.home.blobs", "layers.home.images"}))
    assert ours(found) < 80


def test_run(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    words = ("run", "--rm", "--network", "none", "busybox", "true")
    shared_pybuild(*words)  # its layers are indexed now
    assert soon(lambda: not forsaken(shared_pybuild.root)), "nobody has left anything in a network"
    found = loaded(shared_pybuild, tmp_path, *words)
    never = NEVER | SPARED | COSTLY
    never |= {"threading", "subprocess", "hashlib", "ipaddress", "csv", "zlib", "base64", "layers.tar"}
    assert not sorted(found & never)
    assert not sorted(found & {"builder.graph", "builder.networks.book", "layers.moving", "layers.views.tree"})
    assert ours(found) < 135


def test_run_in_a_network(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    words = ("run", "--rm", "busybox", "true")
    shared_pybuild(*words)  # the network is in the book now
    found = loaded(shared_pybuild, tmp_path, *words)
    assert not sorted(found & (NEVER | SPARED | COSTLY | {"subprocess", "locale"}))
    assert ours(found) < 150


def test_run_in_a_network_whose_bridge_is_kept(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    words = ("run", "--rm", "busybox", "true")

    def asked() -> bool:  # a slow machine may come too late, once
        shared_pybuild(*words)
        assert soon(lambda: [*shared_pybuild.root.glob("networks/*/line")])
        found = loaded(shared_pybuild, tmp_path, *words)
        return "builder.networks.asked" in found and not found & {
            "builder.networks.book", "builder.networks.joining", "builder.networks.leases", "builder.networks.network",
            "ipaddress", "runner.net.bridge", "runner.net.nft", "threading", "warnings",
        }  # fmt: skip

    assert soon(asked)


def test_exec(shared_pybuild: Pybuild, tmp_path: Path, running: str) -> None:
    found = loaded(shared_pybuild, tmp_path, "exec", running, "true")
    assert not sorted(
        found & (NEVER | SPARED | COSTLY)
        | found & {"subprocess", "hashlib", "ipaddress", "layers.home.images", "layers.snapshot", "pybuild.creating"}
    )
    assert ours(found) < 110


def test_a_cached_build(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "context").mkdir()
    (tmp_path / "context/Dockerfile").write_text("FROM busybox\nRUN true\n")
    words = ("build", "-q", str(tmp_path / "context"))
    shared_pybuild(*words)
    found = loaded(shared_pybuild, tmp_path, *words)
    assert not sorted(found & (NEVER | {"subprocess", "fractions", "decimal", "layers.snapshot.lowers"}))
    assert not sorted(found & {"builder.contexts.context", "builder.contexts.ignore", "builder.ops.select"}), (
        "it copies no file"
    )
    assert ours(found) < 200


def test_the_process_that_was_made_ahead_is_the_one_that_runs(shared_pybuild: Pybuild) -> None:
    """Else two would be made, and the waiting one would hold up the end."""
    script = """
import sys
from runner.spares import Spares
made, make = [], Spares._make
Spares._make = lambda self, kind: made.append(kind) or make(self, kind)
import pybuild.__main__ as program
end = program.leave
program.leave = lambda code: (print(len(made)), end(code))
sys.argv = ["pybuild", *sys.argv[1:]]
program.main()
"""
    for flags in ((), ("--network", "none", "--memory", "64m"), ("--network", "host"), ("--privileged",)):
        words = ["run", "--rm", *flags, "busybox", "true"]
        done = subprocess.run(
            [sys.executable, "-c", script, *words], env=shared_pybuild.environment, capture_output=True, text=True
        )
        assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


def test_nothing_waits_for_a_container_that_cannot_be(shared_pybuild: Pybuild, running: str) -> None:
    said = shared_pybuild("run", "--rm", "--name", running, "busybox", "true", code=125)
    assert "is in use" in said.stderr

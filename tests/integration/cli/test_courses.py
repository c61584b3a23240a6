"""What a quick command loads in one go is what it would have loaded anyway, and nearly all of that."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from layers import compiling
from layers.compiled import PACKAGES, Bundle
from tests.support.command import Pybuild

pytestmark = pytest.mark.root

RUN = """
import os, sys
from layers import compiled
place, told = sys.argv[1:3]
del sys.argv[1:3]
compiled.lead = lambda: sys.meta_path.insert(0, compiled.Bundle.open(place)) if place else None
import pybuild.__main__
end, ours = os._exit, os.getpid()
def tell(code):
    if os.getpid() != ours:
        end(code)
    with open(told, "w") as file:
        print(*sys.modules, file=file)
        print(*getattr(compiled.leading(), "hastened", ()), file=file)
    end(code)
pybuild.__main__.os._exit = tell
if place:
    run = compiled.Bundle.run
    def seen(bundle, course):
        before = set(sys.modules)
        run(bundle, course)
        bundle.hastened = [*getattr(bundle, "hastened", ()), *(set(sys.modules) - before)]
    compiled.Bundle.run = seen
pybuild.__main__.main()
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    """All there is, as an installation has it."""
    place = str(tmp_path_factory.mktemp("bundle") / "ours")
    compiling.write(compiling.everything(), place=place)
    return place


def loaded(command: Pybuild, told: Path, place: str, *words: str) -> tuple[set[str], set[str]]:
    """The modules of ours that a command has in the end, and those of them that came in one go."""
    script = [sys.executable, "-P", "-c", RUN, place, str(told), *words]
    environment = {**command.environment, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": os.getcwd()}
    subprocess.run(script, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    every, at_once = ({one for one in line.split() if one.partition(".")[0] in PACKAGES} for line in told.open())
    return every, at_once


def test_a_build_loads_nothing_in_vain(shared_pybuild: Pybuild, bundle: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nCOPY Dockerfile /\n")
    shared_pybuild.build(tmp_path)
    plain, _ = loaded(shared_pybuild, tmp_path / "told", "", "build", "-q", str(tmp_path))
    every, at_once = loaded(shared_pybuild, tmp_path / "told", bundle, "build", "-q", str(tmp_path))
    assert at_once <= every & plain
    assert len(at_once) > 0.8 * len(plain), plain - at_once


@pytest.mark.parametrize("name", ["run", "exec", "start"])
def test_a_course_is_what_its_command_needs(shared_pybuild: Pybuild, bundle: str, tmp_path: Path, name: str) -> None:
    words = {
        "run": ["run", "--rm", "--network", "none", "busybox", "true"],
        "exec": ["exec", "courses", "true"],
        "start": ["start", "-a", "courses"],
    }[name]
    command = shared_pybuild
    command("run", "-d", "--name", "courses", "--network", "none", "busybox", "sh", "-c", "test -e /x || sleep 600")
    try:
        if name == "start":
            command("exec", "courses", "touch", "/x")
            command("stop", "-t", "0", "courses")
        plain, nothing = loaded(command, tmp_path / "told", "", *words)
        every, at_once = loaded(command, tmp_path / "told", bundle, *words)
    finally:
        command("rm", "-f", "courses")
    opened = Bundle.open(bundle)
    assert opened is not None and not nothing
    assert not at_once - plain, "nothing is loaded in vain"
    assert every == plain
    assert len(at_once) > 0.8 * len(plain), plain - at_once


def test_a_quick_run_does_without_collections(shared_pybuild: Pybuild, bundle: str, tmp_path: Path) -> None:
    """Names for annotations come from where `collections.abc` has them."""
    words = ("run", "--rm", "--network", "none", "busybox", "true")
    shared_pybuild(*words)
    loaded(shared_pybuild, tmp_path / "told", bundle, *words)
    assert "collections" not in (tmp_path / "told").read_text().split("\n")[0].split()

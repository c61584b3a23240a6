"""Sixteen Dockerfiles of the real world build as by BuildKit, run, serve, stop, and are built again from the cache."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.world import BASES, GOLDEN, World, packages, told, worlds
from tests.support.command import Pybuild
from tests.support.examples import EXAMPLES

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.xdist_group("world")]  # what they share is made once
_ID = re.compile(r"^[0-9a-f]{64}\n", re.MULTILINE)


@pytest.fixture(scope="session")
def world_bases(shared_pybuild: Pybuild) -> Pybuild:
    """The shared store with all bases in it."""
    for name in BASES:
        shared_pybuild.base(name)
    return shared_pybuild


@pytest.mark.parametrize("world", worlds(), ids=lambda world: world.name)
def test_builds_runs_and_rebuilds(world: World, world_bases: Pybuild, tmp_path: Path) -> None:
    try:
        check(world, world_bases, tmp_path)
    finally:
        for words, _ in world.commands:
            if "--name" in words:
                world_bases("rm", "-f", "-v", words[words.index("--name") + 1], code=None)


def check(world: World, pybuild: Pybuild, tmp_path: Path) -> None:
    """Do what its lines say, build it again, and compare the image with BuildKit's."""
    tag = f"world-{world.name}"
    more = ("--network", "none", "--build-context", f"debian={packages()}")
    said = ""
    for (command, *words), code in world.commands:
        words = [{"IMAGE": tag, "OUT": str(tmp_path / "out")}.get(word, word) for word in words]
        if command == "build":
            named = () if "-t" in words or "-o" in words else ("-t", tag)
            pybuild(command, *more, *named, *words, cwd=world.directory)
            if "-o" in words:
                said += "".join(f"{name}\n" for name in sorted(os.listdir(tmp_path / "out")))
        else:
            done = pybuild(command, *words, code=code)
            said += _ID.sub("", done.stdout)
    assert said == world.expected

    build = ("build", *more, *world.flags, ".")
    again = events(pybuild(*build, "--progress", "json", cwd=world.directory).stderr)
    finished = again[-1]
    assert finished["event"] == "finished"
    assert finished["ran"] == 0
    steps = [step["id"] for event in again if event["event"] == "planned" for step in event["steps"]]
    assert steps
    assert sorted(event["step"] for event in again if event["event"] == "step_cached") == steps
    pybuild(*build, "--dry-run", "--exit-code", cwd=world.directory)

    theirs = json.loads(GOLDEN.read_text(encoding="utf-8"))[world.name]
    assert json.loads(json.dumps(image(pybuild, tag))) == theirs


def test_an_edited_crate_is_compiled_alone(world_bases: Pybuild, tmp_path: Path) -> None:
    """Steps before the sources are found, cargo finds the other crate in the target directory that it was lent."""
    here = tmp_path / "workspace"
    shutil.copytree(EXAMPLES / "world/rust-workspace", here)  # with its times, which cargo goes by
    dockerfile = here / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("id=world-", "id=edited-"))

    def build() -> tuple[list[str], str]:
        """The steps that ran, and what cargo said that it compiled."""
        build = ("build", "--network", "none", "-t", "edited", "--progress", "json", here)
        seen = events(world_bases(*build).stderr)
        titles = {step["id"]: step["title"] for event in seen if event["event"] == "planned" for step in event["steps"]}
        ran = [titles[event["step"]].split()[0] for event in seen if event["event"] == "step_started"]
        said = "".join(event["data"] for event in seen if event["event"] == "step_output")
        return ran, " ".join(re.findall(r"Compiling (\w+)", said))

    def edit(old: str, new: str) -> None:
        """Change what the program says to a word that is no number."""
        main = here / "crates/roman/src/main.rs"
        main.write_text(main.read_text().replace(old, new))

    def says() -> str:
        return world_bases("run", "--rm", "edited", "IC", code=1).stdout

    edit("is no number", "is none")
    assert build()[1] == "numerals roman"
    assert says() == "IC is none\n"
    edit("is none", "means nothing")
    assert build() == (["COPY", "RUN", "COPY"], "roman")
    assert says() == "IC means nothing\n"
    assert build() == ([], "")
    assert world_bases("run", "--rm", "edited", "XL").stdout == "XL = 40\n"


def test_there_are_sixteen() -> None:
    assert len(worlds()) >= 16
    assert json.loads(GOLDEN.read_text(encoding="utf-8")).keys() == {world.name for world in worlds()}


def events(text: str) -> list[dict[str, Any]]:
    """What `--progress json` has told."""
    return [json.loads(line) for line in text.splitlines()]


def image(pybuild: Pybuild, tag: str) -> dict[str, Any]:
    """An image as `told` says it, out of the store's own files: its documents and the raw tars of its layers."""

    def blob(digest: str) -> bytes:
        return (pybuild.root / "blobs" / digest.replace(":", "/")).read_bytes()

    shown, *bases = json.loads(pybuild.text("inspect", tag, *BASES.values()))
    below = {layer for base in bases for layer in base["RootFS"]["Layers"]}
    return told(json.loads(blob(shown["Id"])), [blob(one) for one in shown["RootFS"]["Layers"] if one not in below])

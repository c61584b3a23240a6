"""kill -9 at fifty random moments of a build: the next build succeeds, the store is whole, nothing is left behind."""

import random
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.command import Pybuild
from tests.support.residue import leaked

pytestmark = [pytest.mark.root, pytest.mark.slow]
KILLS = 50
SEED = 20_261_124


def project(folder: Path) -> Path:
    """COPY, RUN, mounts and two stages that run at the same time."""
    folder.mkdir()
    for number in range(300):
        (folder / f"file-{number}").write_text(f"{number}\n" * 200)
    (folder / "Dockerfile").write_text(
        "FROM busybox AS side\nRUN for i in $(seq 200); do echo $i > /side-$i; done\nRUN sleep 0.05\n"
        "FROM busybox\nCOPY . /all\nRUN cp -r /all /again\nRUN rm -r /all/file-1* && sleep 0.05\n"
        "COPY --from=side /side-7 /\nRUN cat /side-7 > /done\n"
        "RUN --mount=target=/c,rw --mount=from=side,target=/s --mount=type=cache,sharing=locked,target=/k "
        "cp /c/file-? /s/side-? /k/ && mv /c/file-7 /k/kept && cp /k/kept /\n"
    )
    return folder


@pytest.mark.timeout(900)
def test_killed_at_random_moments(pybuild: Pybuild, tmp_path: Path) -> None:
    pybuild.base("busybox")
    context = project(tmp_path / "context")
    began = time.monotonic()
    whole = pybuild.build(context, "--no-cache", "-t", "whole")
    length = time.monotonic() - began
    assert whole
    chance = random.Random(SEED)
    with leaked(pybuild.root) as left:
        for number in range(KILLS):
            command = pybuild.command("build", "--no-cache", "-q", "-t", f"killed-{number}", context)
            with subprocess.Popen(
                command,
                env=pybuild.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            ) as process:
                time.sleep(chance.random() * length)
                process.kill()
            pybuild("build", "-q", "-t", "next", context)
            if number % 5 == 4:
                pybuild("system", "check")
        pybuild("build", "--no-cache", "-q", "-t", "last", context)
        pybuild("prune", "--force")
        pybuild("system", "check")
    assert not left
    assert not list((pybuild.root / "scratch").iterdir())


def test_eight_processes_on_one_store(pybuild: Pybuild, tmp_path: Path) -> None:
    pybuild.base("busybox")
    contexts = [project(tmp_path / f"context-{number}") for number in range(3)]
    with leaked(pybuild.root) as left:
        for round_ in range(3):
            commands: list[list[str | Path]] = []
            for number, context in enumerate(contexts):
                commands.append(["build", "-q", "--no-cache", "-t", f"own-{number}", context])
                commands.append(["build", "-q", "-t", f"same-{number}-{round_}", contexts[0]])
            commands += [["prune", "--force"], ["prune", "--force"]]
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
                _, said = process.communicate(timeout=200)
                assert process.returncode == 0, f"{command}: {said}"
        pybuild("system", "check")
    assert not left
    assert pybuild.text("run", "--rm", "own-1", "cat", "/done") == "7"

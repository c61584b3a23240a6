"""Bundles for runtimes: a busybox root and the config.json that runc itself would write, changed by a test."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layers.bundles.runtimespec import MOUNTS
from runner.oci.template import config
from tests.support.peers import need
from tests.support.walls import busybox

RUNTIME = Path(sys.executable).with_name("pybuild-oci-runtime")
Change = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Runner:
    """A runtime with a root of states of its own."""

    program: str | Path
    states: Path

    def __call__(self, *words: str | Path, check: bool = True, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run one of its commands; with `check` it must succeed."""
        done = subprocess.run(
            [self.program, "--root", self.states, *words], input=stdin, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0 or not check, done.stderr
        return done

    def create(self, bundle: Path, name: str, *flags: str | Path) -> str:
        """Create a container whose output goes into the file that is returned by name: it outlives this command."""
        told = bundle / f"{name}.out"
        with told.open("wb") as out:
            done = subprocess.run(
                [self.program, "--root", self.states, "create", "--bundle", bundle, *flags, name],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                timeout=60,
            )
        assert done.returncode == 0, told.read_text()
        return str(told)

    def quietly(self, *words: str | Path) -> None:
        """Run a command that succeeds and leaves processes behind, which must not hold our pipes."""
        nothing = subprocess.DEVNULL
        command = [self.program, "--root", self.states, *words]
        subprocess.run(command, stdin=nothing, stdout=nothing, stderr=nothing, timeout=60, check=True)

    def state(self, name: str) -> dict[str, Any]:
        """What `state` prints."""
        found: dict[str, Any] = json.loads(self("state", name).stdout)
        return found


def ours(folder: Path) -> Runner:
    """The runtime under test."""
    return Runner(RUNTIME, folder / "states")


def theirs(folder: Path) -> Runner:
    """runc."""
    return Runner(need("runc"), folder / "runc-states")


def bundle(folder: Path, *args: str, change: Change | None = None) -> Path:
    """A bundle that runs a command (one word is a shell line), with no terminal and a root that can be written."""
    if not (folder / "rootfs").exists():
        busybox(folder / "rootfs")
    value = config("1.0.2", MOUNTS)
    value["process"]["terminal"] = False
    value["process"]["args"] = ["sh", "-c", args[0]] if len(args) == 1 else list(args)
    value["process"]["env"] = ["PATH=/bin", "HOME=/"]
    value["root"]["readonly"] = False
    if change is not None:
        change(value)
    (folder / "config.json").write_text(json.dumps(value))
    return folder

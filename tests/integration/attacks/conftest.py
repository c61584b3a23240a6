"""Attackers behind walls, in every mode that walls are built in. A further mode is one more line of MODES."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from runner.native import Native
from runner.spawner import Spawner
from tests.support.peers import need
from tests.support.walls import Heard, Walled, busybox

MODES: Mapping[str, Mapping[str, Any]] = {"root": {}}
"""What a sandbox is asked for besides, by mode: as root of the host, who has most to lose."""


@dataclass
class Attack:
    """A busybox root with an attacker in it; calling it runs a command there."""

    mode: str
    walled: Walled
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        """The root as the host sees it."""
        return self.walled.root

    @property
    def native(self) -> Native:
        """The runtime."""
        return self.walled.native

    def sandbox(self, *args: str, **more: Any) -> Any:
        """The order for a command."""
        return self.walled.sandbox(*args, **{**self.more, **more})

    def __call__(self, *args: str, **more: Any) -> Heard:
        """Run a command to its end; one word is a shell line."""
        return self.walled(*args, **{**self.more, **more})


@pytest.fixture(scope="session")
def native() -> Iterator[Native]:
    """The runtime of this machine."""
    spawner = Spawner()
    yield Native(spawner)
    spawner.close()


@pytest.fixture(scope="session")
def attacker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of what a hostile command would try."""
    program = tmp_path_factory.mktemp("attacker") / "attacker"
    source = Path(__file__).parents[2] / "support/attacker.c"
    subprocess.run([need("gcc", "gcc"), "-static", "-O", "-w", "-o", program, source], check=True)
    return program


@pytest.fixture(params=MODES)
def attack(request: pytest.FixtureRequest, native: Native, attacker: Path, tmp_path: Path) -> Iterator[Attack]:
    """A place to attack from. Afterwards the host's mounts are what they were."""
    before = _mounts()
    root = busybox(tmp_path / "root")
    shutil.copy(attacker, root / "bin/attacker")
    yield Attack(request.param, Walled(native, root), MODES[request.param])
    native.rest()
    assert _mounts() == before


def _mounts() -> str:
    return Path(f"/proc/{os.getpid()}/mountinfo").read_text()

"""What the tests of containers share: running ones that go away whatever happens."""

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.command import Pybuild

Detached = Callable[..., str]
LOOP = "while :; do sleep 0.05; done"


@pytest.fixture
def detached(shared_pybuild: Pybuild) -> Iterator[Detached]:
    """Start a container that runs a script (by default for ever, deaf to nothing); its name."""
    names: list[str] = []

    def run(script: str = LOOP, *flags: str) -> str:
        names.append(f"life-{os.urandom(4).hex()}")
        shared_pybuild("run", "-d", "--name", names[-1], *flags, "busybox", "sh", "-c", script)
        return names[-1]

    yield run
    if names:
        shared_pybuild("rm", "-f", *names)


@pytest.fixture
def inspected(shared_pybuild: Pybuild) -> Callable[[str], dict[str, Any]]:
    """The object that inspect shows of a container."""

    def look(name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(shared_pybuild.text("inspect", "--type", "container", name))[0]
        return found

    return look

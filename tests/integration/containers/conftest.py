"""What the tests of containers share: running ones that go away whatever happens."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from builder.containers.inspect import inspect
from layers import Store
from layers.home.eventlog import EventLog
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


@pytest.fixture(scope="session")
def shared_store(shared_pybuild: Pybuild) -> Store:
    """The store of `shared_pybuild`, for looks that need no process."""
    return Store.open(shared_pybuild.root)


@pytest.fixture
def inspected(shared_store: Store) -> Callable[[str], dict[str, Any]]:
    """The object that inspect shows of a container."""
    return lambda name: inspect(shared_store, name)


@pytest.fixture
def told(shared_store: Store) -> Callable[[str], list[str]]:
    """The actions that the events of a container tell, by its name or id."""

    def look(name: str) -> list[str]:
        events = EventLog(shared_store.root).read()
        return [event.action for event in events if name in (event.id, event.attributes.get("name"))]

    return look

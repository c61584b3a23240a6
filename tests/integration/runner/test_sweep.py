"""What a sweep takes away, and what it must leave alone."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from runner.cgroups import Cgroup
from runner.hierarchy import discover
from runner.limits import Limits
from runner.sweep import sweep
from tests.support.soon import soon

pytestmark = pytest.mark.root


@pytest.fixture
def own() -> Path:
    """One of the groups that this process may make groups in."""
    there = discover()
    found = next(iter(there.legacy.values()), there.unified)
    assert found is not None
    return found


@pytest.fixture
def stranger(own: Path) -> Iterator[Path]:
    """A group of somebody else whose name begins like ours, with nobody's lock on it."""
    group = own / f"pybuild-peer-{os.getpid()}"
    group.mkdir()
    yield group
    group.rmdir()


def swept(paths: Iterable[Path]) -> bool:
    """Whether they have gone after a sweep, which leaves alone what another sweep is just looking at."""
    sweep()
    return not any(path.exists() for path in paths)


def test_groups_of_others_stay(stranger: Path) -> None:
    assert stranger not in sweep()
    assert stranger.exists()


def test_groups_of_the_living_stay_and_those_of_the_dead_go(own: Path) -> None:
    group = Cgroup.create(Limits())
    try:
        assert not set(group.paths) & set(sweep())
        assert all(path.exists() for path in group.paths)
        while group._locks:
            os.close(group._locks.pop())  # what the kernel does when a process is killed
        assert soon(lambda: swept(group.paths))
    finally:
        group.remove()

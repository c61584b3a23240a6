"""One spawner for the folder, a fresh busybox root for each test, and proof that no cgroup stays."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.hierarchy import discover
from runner.native import Native
from runner.spawner import Spawner
from tests.support.walls import Walled, busybox


@pytest.fixture(scope="session")
def native() -> Iterator[Native]:
    """The runtime of this machine."""
    spawner = Spawner()
    yield Native(spawner)
    spawner.close()


@pytest.fixture
def walled(native: Native, tmp_path: Path) -> Walled:
    """Commands in a fresh busybox root."""
    return Walled(native, busybox(tmp_path / "root"))


@pytest.fixture
def has_legacy_cgroups() -> bool:
    """Whether this machine has controllers of version 1."""
    return bool(discover().legacy)

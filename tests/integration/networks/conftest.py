"""A machine of our own for the folder; after each test nothing of its networks may be left."""

import time
from collections.abc import Iterator

import pytest

from tests.support.town import Town, town

PATIENCE = 60.0
"""Seconds for the kernel to take away interfaces of namespaces that have gone."""


@pytest.fixture(scope="module")
def _town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with town(tmp_path_factory.mktemp("town") / "store") as found:
        found.pybuild.base("busybox")
        yield found


@pytest.fixture
def place(_town: Town) -> Iterator[Town]:
    """The machine; on leaving its containers and networks are removed, and nothing may stay."""
    yield _town
    root = _town.pybuild.root
    if everyone := [path.name for path in root.glob("containers/*")]:
        _town.pybuild("rm", "-f", *everyone)
    if len(list(root.glob("networks/*/config.json"))) > 1 or list(root.glob("networks/*/leases/linger")):
        _town.pybuild("network", "prune", "-f")
    assert _town.tables() == []
    deadline = time.monotonic() + PATIENCE
    while (left := _town.interfaces()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left
    assert not list(root.glob("networks/*/leases/*"))

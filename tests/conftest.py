"""Fixtures that several kinds of tests share. Nothing here starts unless a test asks for it."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.command import Pybuild
from tests.support.peers import need
from tests.support.registry import RegistryServer, registry_server

settings.register_profile("busy machines", deadline=None)
settings.load_profile("busy machines")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell starts like that what it puts into the background
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test marked `root` is skipped for anybody else, and says so."""
    if os.geteuid() != 0:
        for item in items:
            if item.get_closest_marker("root"):
                item.add_marker(pytest.mark.skip(reason="needs root: namespaces, overlayfs, cgroups"))


@pytest.fixture
def pybuild(tmp_path: Path) -> Pybuild:
    """The command on an empty store."""
    return Pybuild(tmp_path / "store", {"DOCKER_CONFIG": str(tmp_path / "docker-config")})


@pytest.fixture(scope="session")
def shared_pybuild(tmp_path_factory: pytest.TempPathFactory) -> Pybuild:
    """The command on a store that this worker's tests share, with the busybox base in it."""
    folder = tmp_path_factory.mktemp("shared")
    command = Pybuild(folder / "store", {"DOCKER_CONFIG": str(folder / "docker-config")})
    command.base("busybox")
    return command


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """Debian's docker-registry, for everybody."""
    need("docker-registry")
    with registry_server(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture
def own_registry(tmp_path: Path) -> Iterator[RegistryServer]:
    """Our own registry, of an empty store and in threads of this process: no program is needed, referrers work."""
    from tests.support.serving import served

    with served(tmp_path / "own-registry") as server:
        yield server

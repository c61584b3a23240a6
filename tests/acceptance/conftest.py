"""What the acceptance tests share: the bases that examples stand on, and a docker daemon to compare with."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.command import Pybuild
from tests.support.dockerd import Dockerd, DockerdUnavailable, dockerd
from tests.support.peers import need

_FROM = re.compile(r"^FROM (debian-[a-z]+):bookworm", re.MULTILINE)


@pytest.fixture(scope="session")
def with_bases(shared_pybuild: Pybuild) -> Callable[[Path], Pybuild]:
    """A callable: the shared store, holding every base that a Dockerfile names."""
    made: set[str] = set()

    def ready(dockerfile: Path) -> Pybuild:
        for name in _FROM.findall(dockerfile.read_text(encoding="utf-8")):
            if name not in made:
                shared_pybuild.base(name)
                made.add(name)
        return shared_pybuild

    return ready


@pytest.fixture(scope="session")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dockerd]:
    """This Debian's docker daemon, private to this worker."""
    need("dockerd", "docker.io")
    try:
        # A short path: the daemon's sockets lie below it, and a socket's path has 107 bytes.
        with dockerd(tmp_path_factory.mktemp("docker")) as running:
            yield running
    except DockerdUnavailable as unavailable:
        pytest.skip(f"dockerd does not start here: {unavailable}")

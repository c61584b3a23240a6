"""What several tests of builds want."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.web import Site, website


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A web server, and git repositories in `repositories` if a test makes some."""
    with website() as found:
        found.repositories = tmp_path / "repositories"
        yield found

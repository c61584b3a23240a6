"""ADD of URLs and git, contexts of every kind: the same files, history and config as BuildKit makes of them.

Where we differ on purpose, `DIFFERENCES` says where and why. Times are those of the clock and the context, as BuildKit
has them.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.cases import base_tree
from tests.acceptance.remote import CASES, GOLDEN, Case, prepare, told, words
from tests.support.command import Pybuild
from tests.support.images import read_image
from tests.support.web import Site, website

pytestmark = pytest.mark.root

# case → part → (our value, why it differs from BuildKit's)
LAYER = "BuildKit gives the layer of a context no line of its own, so that its history stands one line too high"
DIFFERENCES: dict[str, dict[str, tuple[Any, str]]] = {
    "named-directory-base": {"history": ([["[context lib] load", False], ["COPY m /m # buildkit", False]], LAYER)},
    "named-git": {"history": ([["[context app] load", False], ["COPY dir /d/ # buildkit", False]], LAYER)},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Site]]:
    work = tmp_path_factory.mktemp("remote")
    with website() as site:
        prepare(work, site)
        yield work, site


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_same_image(case: Case, shared_pybuild: Pybuild, place: tuple[Path, Site], tmp_path: Path) -> None:
    work, site = place
    args, stdin = words(case, work, site.url)
    out = tmp_path / "image.tar"
    shared_pybuild("build", "-q", "--timestamp", "now", "-o", f"type=oci,dest={out}", *args, stdin=stdin)
    ours = json.loads(json.dumps(told(read_image(out), case, site.url, base_tree())))
    theirs = json.loads(GOLDEN.read_text())[case.name]
    for part, (value, _) in DIFFERENCES.get(case.name, {}).items():
        assert theirs[part] != value, f"{part} of {case.name} no longer differs: remove it from DIFFERENCES"
        theirs[part] = value
    for part, value in theirs.items():
        assert ours[part] == value, f"{part} of {case.name}"


def test_a_dockerfile_from_a_url(pybuild: Pybuild, place: tuple[Path, Site]) -> None:
    work, site = place
    out = work / "out"
    pybuild("build", "-q", "-f", f"{site.url}/Dockerfile", "-o", out, work / "library")
    assert (out / "x/l").read_text() == "lib"
    said = pybuild("build", "-f", f"{site.url}/nowhere", work / "library", code=1).stderr
    assert "invalid response status 404" in said

"""Twenty-three Dockerfiles: the same file tree, configuration and history as BuildKit makes of them.

Where we differ on purpose, `DIFFERENCES` says where and why; anything else that differs is a bug.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.cases import Case, base_tree, cases, digest_of
from tests.support.command import Pybuild
from tests.support.images import read_image

pytestmark = pytest.mark.root

# case → path of a value in the golden file → (our value, why it differs from BuildKit's)
STUB = (None, "BuildKit leaves the places that its own mounts needed in the layer; ours are taken away again")
DIFFERENCES: dict[str, dict[tuple[str | int, ...], tuple[Any, str]]] = {
    "18-scratch": {("tree", "dev"): STUB, ("tree", "proc"): STUB, ("tree", "sys"): STUB},
    "21-stages": {
        ("history", 5, 0): (
            "RUN /bin/sh -c echo left > left # buildkit",
            "two stages FROM one stage: BuildKit's second one overwrites a line of the first one's history",
        )
    },
}
CLOCK = "SOURCE_DATE_EPOCH=1700000000\n"
"""What our commands have in their environment beside all that BuildKit's have: the time of the base."""
DEVICES = frozenset({"16-run-files"})
"""Cases that make device nodes, for which root has to be the host's."""


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_same_image(case: Case, shared_pybuild: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "context").mkdir()
    context = case.context(tmp_path / "context")
    out = tmp_path / "image.tar"
    userns = ("--userns", "host") if case.name in DEVICES else ()
    shared_pybuild("build", "-q", "--network", "none", *userns, "-o", f"type=oci,dest={out}", context)
    ours = digest_of(read_image(out), base_tree())
    ours["tree"] = {path: without_clock(*node) for path, node in ours["tree"].items()}
    theirs = json.loads(case.golden.read_text(encoding="utf-8"))
    for place, (value, _) in DIFFERENCES.get(case.name, {}).items():
        put(theirs, place, value)
    for part in ("config", "history", "tree", "removed", "platform", "author"):
        assert plain(ours[part]) == theirs[part], f"{part} of {case.name}"


def without_clock(kind: str, *node: Any) -> list[Any]:
    """A file as it would be without the variable that only ours have."""
    if kind == "file" and isinstance(node[3], str) and CLOCK in node[3]:
        mode, owner, size, content, *rest = node
        return [kind, mode, owner, size - len(CLOCK), content.replace(CLOCK, ""), *rest]
    return [kind, *node]


def plain(value: Any) -> Any:
    """A value as it is after a round through JSON."""
    return json.loads(json.dumps(value))


def put(target: Any, place: tuple[str | int, ...], value: Any) -> None:
    """Set (or, with None, remove) the value at a place."""
    *way, last = place
    for step in way:
        target = target[step]
    if value is None:
        del target[last]
    else:
        assert target[last] != value, f"{place} no longer differs: remove it from DIFFERENCES"
        target[last] = value

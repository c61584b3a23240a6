"""More than a thousand Dockerfiles: refused or built as by BuildKit, with the same files, configuration and history.

Where we differ on purpose, `differ/differences.py` says where and why; anything else that differs is a bug.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.differ.cases import every, golden
from tests.acceptance.differ.differences import DIFFERENCES
from tests.support.command import Pybuild

pytestmark = pytest.mark.root
ROOT = Path(__file__).parents[2]
Ask = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module")
def ask(shared_pybuild: Pybuild, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """A process that builds, and says what came of it."""
    work = tmp_path_factory.mktemp("differ")
    command = [sys.executable, "-m", "tests.acceptance.differ.ours", str(shared_pybuild.root), str(work)]
    environment = shared_pybuild.environment
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def asked(name: str) -> dict[str, Any]:
            stdin.write(f"{name}\n")
            stdin.flush()
            found: dict[str, Any] = json.loads(stdout.readline())
            return found

        yield asked
        stdin.close()
    assert process.returncode == 0


@pytest.mark.parametrize("name", every())
def test_same(name: str, ask: Ask) -> None:
    feature, _, case = name.partition("/")
    ours, theirs = ask(name), golden(feature)[case]
    assert "broken" not in ours, ours["broken"]
    deliberate = DIFFERENCES.get(name)
    assert differing(ours, theirs) == ({} if deliberate is None else deliberate.ours)


def test_every_difference_is_of_a_case() -> None:
    assert not DIFFERENCES.keys() - every().keys()


def differing(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """Our value of all that differs; words of errors are everybody's own."""
    if "error" in theirs and "error" in ours:
        return {}
    if "error" in ours:
        return {"error": ours["error"].partition("\n")[0]}
    if "error" in theirs:
        return {"error": ""}
    if "dated" in ours:  # directories made on the way: BuildKit's have the time of the build, ours the same each time
        kept = [path for path in ours["dated"] if ours["tree"][path][0] != "dir" or path in theirs.get("dated", ())]
        ours = ours | {"dated": kept}
    found = {}
    for part in ours.keys() | theirs.keys():
        left, right = ours.get(part), theirs.get(part)
        if isinstance(left, dict) and isinstance(right, dict):
            left = {key: left.get(key) for key in left.keys() | right.keys() if left.get(key) != right.get(key)}
            right = {}
        if (left or None) != (right or None):
            found[part] = left
    return found

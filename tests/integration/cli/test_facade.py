"""`import pybuild` as a library."""

import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from pybuild import serve
from tests.support.command import Pybuild

pytestmark = pytest.mark.root

PROGRAM = """
import sys
from pathlib import Path
from pybuild import BuildRequest, Limits, Reference, Store, build
context, root = map(Path, sys.argv[1:])
request = BuildRequest(context=context, tags=(Reference.parse("made"),), limits=Limits(pids=50))
told = []
for _ in range(2):
    result = build(request, root=root, emit=told.append)
print(result.image_id, len(told) > 3, [step.status for step in result.steps])
with Store.open(root) as store:
    print(store.images.get("made").id)
"""


SECRET = """
import sys, threading
from pathlib import Path
from pybuild import BuildRequest, Secret, build
from builder.events import StepOutput
context, root = map(Path, sys.argv[1:])
told = []
request = BuildRequest(context=context, secrets={"word": Secret(value=b"sesame")})
build(request, root=root, emit=told.append)
print(b"".join(event.data for event in told if isinstance(event, StepOutput)).decode())
print("sesame" in repr([event for event in told if not isinstance(event, StepOutput)]), threading.active_count())
"""


def test_a_program_gives_secrets(pybuild: Pybuild, tmp_path: Path) -> None:
    pybuild.base("busybox")
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM busybox\nRUN --mount=type=secret,id=word rev /run/secrets/word\n")
    command = [sys.executable, "-c", SECRET, str(context), str(pybuild.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["emases", "False", "1"]


def test_a_program_builds(tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, context, tmp_path / "store"], capture_output=True, text=True, check=True
    )
    built, kept = done.stdout.splitlines()
    assert built.split() == [kept, "True", "['cached',", "'cached']"]


def test_a_program_serves(tmp_path: Path) -> None:
    with serve(tmp_path / "store") as host, urllib.request.urlopen(f"http://{host}/v2/") as answer:
        assert answer.status == 200
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://{host}/v2/")

"""Where groups can be made with cgroup v2, whose rules about processes beside groups are strict."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from runner.hierarchy import discover
from tests.support.walls import Walled

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not discover().is_unified, reason="this machine has cgroups of version 1"),
]
REPOSITORY = Path(__file__).parents[3]

SCRIPT = """
import sys, threading
from pathlib import Path
from runner import Limits, Sandbox
from runner.native import Native
from runner.spawner import Spawner
root, group, warm, limits = sys.argv[1:]
(Path(group) / "cgroup.procs").write_text("0")
spawner = Spawner()
if warm == "warm":
    spawner.warm()
line = "cat /sys/fs/cgroup/cgroup.type /proc/self/cgroup; cat /sys/fs/cgroup/pids.max 2>/dev/null; true"
sandbox = Sandbox(Path(root), ("/bin/sh", "-c", line), {"PATH": "/bin"}, limits=Limits(**eval(limits)))
for _ in range(2):
    said = []
    code = Native(spawner).run(sandbox, lambda _, data: said.append(data), threading.Event()).code
    print(code, b" ".join(b"".join(said).split()).decode())
print((Path(group) / "cgroup.type").read_text().strip())
spawner.close()
"""


@pytest.fixture
def peer() -> Iterator[Path]:
    """A group below ours, as a session or a service has one."""
    top = discover().unified_top
    assert top is not None
    outer = top / f"peers-{os.getpid()}"
    group = outer / "session"
    group.mkdir(parents=True)
    for place in (top, outer):
        for controller in ("cpu", "memory", "pids"):
            (place / "cgroup.subtree_control").write_text(f"+{controller}")
    yield group
    for path in (group / "pybuild-self", group, outer):
        with suppress(FileNotFoundError):
            path.rmdir()


@pytest.mark.parametrize("limits", [{}, {"pids": 7}, {"memory": 64 << 20, "pids": 7}])
@pytest.mark.parametrize("company", ["alone", "warm", "neighbour"])
def test_room_is_found(walled: Walled, peer: Path, company: str, limits: dict[str, int]) -> None:
    neighbour = subprocess.Popen(["sleep", "1000"])
    try:
        if company == "neighbour":
            (peer / "cgroup.procs").write_text(str(neighbour.pid))
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, walled.root, peer, company, repr(limits)],
            capture_output=True, text=True, cwd=REPOSITORY, check=False,
        )  # fmt: skip
    finally:
        neighbour.kill()
        neighbour.wait()
    assert done.returncode == 0, done.stderr
    first, second, kind = done.stdout.splitlines()
    assert first == second
    assert first.startswith("0 domain 0::/")
    assert kind == "domain"
    if limits:
        assert first.endswith(" 7")

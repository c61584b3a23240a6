"""Which builds share a command that one of them runs already: BuildKit, which has them all in one process, decides."""

import os
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.bases import rootfs
from tests.support.command import Pybuild
from tests.support.dockerd import Dockerd
from tests.support.soon import soon

pytestmark = [pytest.mark.root]

CASES = {
    "alike": ("", ""),
    "both anew": ("--no-cache", "--no-cache"),
    "anew second": ("", "--no-cache"),
    "anew first": ("--no-cache", ""),
}
"""Flags of a build, and of one that begins while the command of the first runs."""
RUNS = {"alike": 1, "both anew": 1, "anew second": 2, "anew first": 1}


class Gate:
    """A web server on which commands wait; it counts them by what they ask for."""

    def __init__(self) -> None:
        self.waiting = Counter[str]()
        self.open = threading.Event()
        gate = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                gate.waiting[self.path] += 1
                gate.open.wait(120)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def host(self) -> str:
        """What stands before the path."""
        return f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    thread = threading.Thread(target=gate.server.serve_forever)
    thread.start()
    yield gate
    gate.open.set()
    gate.server.shutdown()
    thread.join()
    gate.server.server_close()


def shared(gate: Gate, words: Sequence[str], env: Mapping[str, str], folder: Path, joins: str) -> dict[str, int]:
    """How often the command of each case ran. A build says that it `joins` another one in such words."""
    builds: list[subprocess.Popen[str]] = []
    with ExitStack() as ends:

        def begin(context: Path, flag: str, path: str, count: int) -> None:
            log = folder / f"log-{len(builds)}"
            command = [*words, *filter(None, [flag]), str(context)]
            out = ends.enter_context(log.open("w"))
            builds.append(subprocess.Popen(command, env=env, stdin=-3, stdout=out, stderr=out, text=True))
            ends.callback(builds[-1].wait)
            ends.callback(builds[-1].kill)
            assert soon(lambda: gate.waiting[path] == count or (count > 1 and joins in log.read_text())), (
                log.read_text()
            )

        for at, (first, second) in enumerate(CASES.values()):
            context, path = folder / str(at), f"/{folder.name}/{at}"
            context.mkdir(parents=True)
            (context / "Dockerfile").write_text(f"FROM peer-base\nRUN wget -q -O /made {gate.host}{path}\n")
            begin(context, first, path, 1)
            begin(context, second, path, 2)
        gate.open.set()
        assert [build.wait(120) for build in builds] == [0] * len(builds)
    gate.open.clear()
    return {case: gate.waiting[f"/{folder.name}/{at}"] for at, case in enumerate(CASES)}


def test_who_shares_with_whom(docker: Dockerd, pybuild: Pybuild, gate: Gate, tmp_path: Path) -> None:
    docker.docker("import", str(rootfs("busybox")), "peer-base")
    pybuild("import", rootfs("busybox"), "peer-base")
    words = ("build", "--progress=plain", "--network=host")
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
    theirs = shared(gate, docker.command(*words), environment, tmp_path / "theirs", "2/2] RUN")
    ours = shared(gate, pybuild.command(*words), pybuild.environment, tmp_path / "ours", "waiting for the same step")
    assert theirs == ours == RUNS

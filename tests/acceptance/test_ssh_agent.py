"""A RUN asks the user's SSH agent for its keys, by the socket that it was given, and cannot take them away."""

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.agent import ssh_add, ssh_agent
from tests.support.command import Pybuild

pytestmark = [pytest.mark.root, pytest.mark.slow]

DOCKERFILE = """\
FROM debian-python:bookworm
COPY ask /
USER nobody
RUN --mount=type=ssh,required,uid=65534 python3 /ask
"""
ASK = """\
import os, socket
def ask(kind):
    agent = socket.socket(socket.AF_UNIX)
    agent.connect(os.environ["SSH_AUTH_SOCK"])
    agent.sendall(bytes([0, 0, 0, 1, kind]))
    return agent.recv(1 << 16)
print("keys", ask(11).hex())
print("remove", ask(19)[4])
"""


def test_keys_can_be_used_from_within(with_bases: Callable[[Path], Pybuild], tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(DOCKERFILE)
    (context / "ask").write_text(ASK)
    pybuild = with_bases(context / "Dockerfile")
    with ssh_agent(tmp_path / "key") as agent:
        done = pybuild("build", "--progress", "plain", "--no-cache", "--ssh", f"default={agent}", context)
        assert ssh_add(agent, "-L").stdout == (tmp_path / "key.pub").read_text()
    key = base64.b64decode((tmp_path / "key.pub").read_text().split()[1])
    assert f"0c00000001{len(key):08x}{key.hex()}" in done.stderr  # an answer with one key
    assert "remove 5" in done.stderr  # SSH_AGENT_FAILURE

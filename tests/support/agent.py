"""OpenSSH's agent with one key, for tests that need an agent."""

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.peers import need
from tests.support.soon import soon


@contextmanager
def ssh_agent(key: Path) -> Iterator[Path]:
    """The agent's socket; its key is also at `key` and `key.pub`."""
    need("ssh-agent", "openssh-client")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # the name of a socket has 107 bytes
        place = Path(folder, "agent")
        said = subprocess.run(["ssh-agent", "-a", place], capture_output=True, text=True, check=True).stdout
        found = re.search(r"SSH_AGENT_PID=(\d+)", said)
        assert found
        try:
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
            assert ssh_add(place, str(key)).returncode == 0
            yield place
        finally:
            os.kill(int(found[1]), signal.SIGTERM)
            assert soon(lambda: not place.exists())


def ssh_add(socket: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """`ssh-add ARGS` with the agent of a socket."""
    env = {**os.environ, "SSH_AUTH_SOCK": str(socket)}
    return subprocess.run(["ssh-add", *args], env=env, capture_output=True, text=True, check=False, timeout=90)

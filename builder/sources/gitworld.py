"""The world that the git program runs in: none of this machine's or user's, and it ends when the build does."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from builder.errors import Cancelled

LOOK_SECONDS = 0.05
SILENCE = 60
"""Seconds without a byte after which a server counts as dead."""
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")
CONFIG = f"""
[core]
	hooksPath = /dev/null
	fsmonitor = false
	symlinks = true
	autocrlf = false
	attributesFile = /dev/null
	excludesFile = /dev/null
	askPass = true
[init]
	defaultBranch = master
	templateDir =
[credential]
	helper =
[gc]
	auto = 0
[maintenance]
	auto = false
[fetch]
	unpackLimit = 1
[pack]
	threads = 1
[advice]
	detachedHead = false
[http]
	lowSpeedLimit = 1
	lowSpeedTime = {SILENCE}
"""


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """See to it that a process and its children are gone when this is left early."""
    try:
        yield
    except BaseException:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        raise


def communicate(process: subprocess.Popen[bytes], stop: threading.Event) -> tuple[bytes, bytes]:
    """What a process writes until it ends. Raises Cancelled."""
    while True:
        try:
            return process.communicate(timeout=LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            if stop.is_set():
                raise Cancelled("the build was stopped") from None


def environment(folder: Path, agent: Path | None) -> dict[str, str]:
    """All that git knows of the world."""
    known = f"{folder}/known_hosts {Path.home()}/.ssh/known_hosts"
    ssh = (
        "ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o IdentityFile=none "
        f"-o 'UserKnownHostsFile={known}' -o ConnectTimeout=20 -o ServerAliveInterval={SILENCE // 4}"
    )
    found = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": str(folder / "config"),
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "GIT_ALLOW_PROTOCOL": "http:https:ssh:git",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_SSH_COMMAND": ssh,
        "GIT_SSH_VARIANT": "ssh",
    }
    for name in (*PROXIES, *map(str.lower, PROXIES), "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO"):
        if name in os.environ:
            found[name] = os.environ[name]
    if agent is not None:
        found["SSH_AUTH_SOCK"] = str(agent)
    return found


def quoted(text: str) -> str:
    """Text between quotes in a configuration file of git."""
    return text.replace("\\", "\\\\").replace('"', '\\"')

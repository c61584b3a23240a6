"""Our own registry for tests: in a thread of the test, or as the command that a person would start.

Both stand wherever `tests.support.registry.registry_server` does, and need nothing that is not here.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from layers import Store
from registry.server import Address, RegistryServer
from tests.support.command import Pybuild
from tests.support.registry import RegistryServer as Running

LOOPBACK = Address("127.0.0.1", 0)


@contextmanager
def served(root: Path, **options: Any) -> Iterator[Running]:
    """The store at `root`, made if there is none, as a registry in threads of this process."""
    wrong: list[str] = []
    with Store.open(root) as store, RegistryServer(store, LOOPBACK, report=wrong.append, **options) as server:
        yield Running(str(server.address), root)
    assert not wrong, "\n".join(wrong)


@contextmanager
def serving(
    pybuild: Pybuild, *flags: str | Path, end: int = signal.SIGTERM, code: int = 0
) -> Iterator[tuple[Running, subprocess.Popen[str]]]:
    """`pybuild registry serve --port 0`, ended by a signal on leaving; and its process."""
    words = pybuild.command("registry", "serve", "--port", "0", *flags)
    process = subprocess.Popen(
        words,
        env=pybuild.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        host = process.stdout.readline().strip()
        if not host:
            raise AssertionError(process.communicate()[1])
        yield Running(host, pybuild.root), process
        process.send_signal(end)
        out, err = process.communicate(timeout=90)
        assert (process.returncode, out) == (code, ""), err
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()

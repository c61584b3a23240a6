"""A busybox root and a runtime, for tests that run commands behind walls."""

import os
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner import Exit, Sandbox
from runner.native import Native
from tests.support.peers import need

APPLETS = (
    "cat chmod chown cut dd echo env false grep head hostname id ip kill ln ls mkdir mkfifo mknod mount mv ping printf "
    "pwd readlink rm rmdir seq setsid sh sleep sort stat stty tail touch tr true tty umount uname unshare wc yes"
).split()
NO_ZOMBIES = "while grep -q '^State:.Z' /proc/[0-9]*/status 2>/dev/null; do sleep 0.05; done"
"""Waits until nobody waits to be reaped."""
PATH: Mapping[str, str] = {"PATH": "/bin"}


def busybox(root: Path) -> Path:
    """A root with nothing but busybox, passwd and a world-writable /tmp."""
    (root / "bin").mkdir(parents=True)
    shutil.copy(need("busybox", "busybox-static"), root / "bin/busybox")
    for name in APPLETS:
        os.symlink("busybox", root / "bin" / name)
    (root / "etc").mkdir()
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    return root


@dataclass(slots=True)
class Heard:
    """How a command ended and what it said."""

    exit: Exit
    out: str
    err: str


@dataclass(slots=True)
class Walled:
    """Runs commands in one root."""

    native: Native
    root: Path

    def sandbox(self, *args: str, **more: Any) -> Sandbox:
        """A sandbox for a command; one word is a shell line."""
        words = ("sh", "-c", args[0]) if len(args) == 1 else args
        return Sandbox(self.root, words, **{"env": PATH, **more})

    def __call__(self, *args: str, stop: threading.Event | None = None, **more: Any) -> Heard:
        """Run a command to its end."""
        said: dict[int, list[bytes]] = {1: [], 2: []}
        found = self.native.run(
            self.sandbox(*args, **more), lambda stream, data: said[stream].append(data), stop or threading.Event()
        )
        return Heard(found, *(b"".join(said[stream]).decode(errors="replace") for stream in (1, 2)))

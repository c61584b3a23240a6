"""Debian's emulator of other processors, unpacked where nothing of the host finds it, and programs to run in it."""

import fcntl
import os
import shutil
import struct
import subprocess
from pathlib import Path

from runner.programs import MACHINES, Machine, program

EXECUTES_CHILD = struct.pack("<5I", 0x100000A0, 0xD2800001, 0xD2800002, 0xD2801BA8, 0xD4000001) + b"/child\0\0"
"""arm64: execve("/child", NULL, NULL)."""
ENDS_WELL = struct.pack("<3I", 0xD2800000, 0xD2800BA8, 0xD4000001)
"""arm64: exit(0)."""


def folder() -> Path:
    """A directory with qemu-aarch64-static and its like; fetched once a machine."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "pybuild-peers"
    cache.mkdir(parents=True, exist_ok=True)
    place = cache / "qemu-user"
    with (cache / "qemu-user.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            part = cache / "qemu-user.part"
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            subprocess.run(
                ["apt-get", "download", "-qq", "qemu-user-static"], cwd=part, capture_output=True, check=True
            )
            [package] = part.glob("*.deb")
            subprocess.run(["dpkg", "-x", package, part], check=True)
            package.unlink()
            part.rename(place)
    return place / "usr/bin"


def arm64(code: bytes | None = None) -> bytes:
    """A program for arm64: of these instructions, else one that ends with 42."""
    machine: Machine = MACHINES["linux/arm64"]
    return program(machine if code is None else machine._replace(code=code))

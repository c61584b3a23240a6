"""Root filesystems of the base images, made once a machine by `examples/bases/make`."""

import subprocess
from functools import cache
from pathlib import Path

from tests.support.examples import EXAMPLES

DOCKERFILES = EXAMPLES / "bases"


@cache
def rootfs(name: str) -> Path:
    """The uncompressed tar of one base: busybox, debian-gcc, debian-python …."""
    made = subprocess.run([DOCKERFILES / "make", "--rootfs", name], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise RuntimeError(f"examples/bases/make --rootfs {name} failed:\n{made.stderr}")
    return Path(made.stdout.strip()) / name / "rootfs.tar"

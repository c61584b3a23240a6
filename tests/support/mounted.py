"""File systems of a test's own, mounted without mount(8), which a small Debian lacks."""

import fcntl
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runner import linux, loops, mounts
from tests.support.peers import need


@contextmanager
def mounted(kind: bytes, options: dict[bytes, bytes | None], target: Path) -> Iterator[None]:
    """A new file system on a directory, gone on leaving."""
    made = linux.new_mount(kind, options)
    linux.attach(made, linux.AT_FDCWD, os.fsencode(target))
    os.close(made)
    try:
        yield
    finally:
        mounts.unmount(target)


@contextmanager
def ext4(target: Path) -> Iterator[None]:
    """A fresh disk of 32 MiB on a directory: tmpfs, on which some tests run, cannot do all that disks can."""
    image = target.with_name(f"{target.name}.img")
    with image.open("wb") as file:
        file.truncate(32 << 20)
    subprocess.run([need("mke2fs", "e2fsprogs"), "-q", "-t", "ext4", image], check=True)
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    device = os.open(f"/dev/loop{fcntl.ioctl(control, loops._GET_FREE)}", os.O_RDWR | os.O_CLOEXEC)
    with image.open("r+b") as file:
        fcntl.ioctl(device, loops._CONFIGURE, loops._CONFIG.pack(file.fileno(), 512, 4))  # LO_FLAGS_AUTOCLEAR
    try:
        with mounted(b"ext4", {b"source": b"/proc/self/fd/%d" % device}, target):
            yield
    finally:
        os.close(device)
        os.close(control)
        image.unlink()

"""Programs of other processors: whether this machine executes them, and what can be lent to a sandbox that needs it.

An emulator that the administrator registered (binfmt_misc, with the F flag: it is opened once and needs no file in any
root) serves everybody. Where there is none, since Linux 6.7 a user namespace may register its own, which nobody outside
ever sees and which goes with it; that is what an `Emulator` is for.
"""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
from functools import cache
from pathlib import Path

from layers.quick import dataclass
from runner.programs import MACHINES, NATIVE, Machine, runs

HANDLERS = Path("/proc/sys/fs/binfmt_misc")
QEMU = {
    "linux/amd64": "x86_64",
    "linux/386": "i386",
    "linux/arm64": "aarch64",
    "linux/arm/v7": "arm",
    "linux/riscv64": "riscv64",
    "linux/ppc64le": "ppc64le",
    "linux/s390x": "s390x",
}
"""What qemu calls them."""
PT_INTERP = 3
SANDBOXED_SINCE = (6, 7)
MASK = b"\xff" * 7 + b"\x00" + b"\xff" * 8
"""Of an ELF identity, which system it is for does not count; of its type, EXEC and DYN are alike."""


@dataclass(frozen=True, slots=True)
class Emulator:
    """A static program that executes those of another machine, for the use of one sandbox."""

    platform: str
    path: Path

    @property
    def line(self) -> bytes:
        """How it is registered, but for its path and flags (Linux, Documentation/admin-guide/binfmt-misc.rst)."""
        magic, mask = pattern(MACHINES[self.platform])
        escaped = [b"".join(b"\\x%02x" % byte for byte in part) for part in (magic, mask)]
        return b":%s:M::%s:%s:" % (QEMU[self.platform].encode(), *escaped)


def pattern(machine: Machine) -> tuple[bytes, bytes]:
    """The first bytes of its executables, and which bits of them count."""
    identity = b"\x7fELF" + bytes([machine.bits // 32, 1 if machine.order == "<" else 2, 1]) + bytes(9)
    kind = b"\xfe\xff" if machine.order == "<" else b"\xff\xfe"
    return identity + struct.pack(f"{machine.order}HH", 2, machine.word), MASK + kind + b"\xff\xff"


@cache
def executed(platform: str) -> bool:
    """Whether a program of a platform runs in any root: by itself, or by an emulator that needs no file there."""
    if platform == NATIVE.get(os.uname().machine):
        return True
    with tempfile.TemporaryDirectory(prefix="pybuild-") as folder:
        return runs(platform, Path(folder)) and "F" in flags(platform)


def flags(platform: str) -> str:
    """Those of the handler that serves a platform; F if there is none to be seen."""
    magic, _ = pattern(MACHINES[platform])
    for handler in HANDLERS.glob("*"):
        try:
            words = dict(line.partition(" ")[::2] for line in handler.read_text().splitlines())
        except OSError:  # `register` cannot be read
            continue
        if words.get("magic") == magic.hex() and "flags:" in words:
            return words["flags:"]
    return "F"


def lent(platform: str) -> Emulator | None:
    """qemu's for a platform, if it is installed and can serve any root."""
    name = f"qemu-{QEMU[platform]}"
    for program in (f"{name}-static", name):
        path = shutil.which(program)
        if path is not None and is_static(Path(path)):
            return Emulator(platform, Path(path).resolve())
    return None


def is_static(path: Path) -> bool:
    """Whether an ELF program of 64 bits asks for no loader, which a foreign root would not have."""
    with path.open("rb") as stream:
        head = stream.read(1 << 12)
    if head[:5] != b"\x7fELF\x02":
        return False
    order = "<" if head[5] == 1 else ">"
    (start,) = struct.unpack_from(f"{order}Q", head, 32)
    size, count = struct.unpack_from(f"{order}HH", head, 54)
    kinds = (struct.unpack_from(f"{order}I", head, start + number * size)[0] for number in range(count))
    return PT_INTERP not in kinds


def sandboxed() -> bool:
    """Whether this kernel lets a user namespace have emulators of its own."""
    major, minor = os.uname().release.split(".")[:2]
    return (int(major), int("".join(filter(str.isdigit, minor)) or 0)) >= SANDBOXED_SINCE and HANDLERS.is_dir()

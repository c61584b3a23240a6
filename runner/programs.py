"""The smallest programs there are: one for each machine, which ends with CODE. Running one shows that it can be run."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

CODE = 42


class Machine(NamedTuple):
    """A machine word (EM_* of elf.h), flags of its ELF header, width in bits, byte order, and the code."""

    word: int
    flags: int
    bits: int
    order: str
    code: bytes


MACHINES: Mapping[str, Machine] = {
    "linux/amd64": Machine(62, 0, 64, "<", bytes.fromhex("b83c000000 bf2a000000 0f05")),
    "linux/386": Machine(3, 0, 32, "<", bytes.fromhex("b801000000 bb2a000000 cd80")),
    "linux/arm64": Machine(183, 0, 64, "<", struct.pack("<3I", 0xD2800540, 0xD2800BA8, 0xD4000001)),
    "linux/arm/v7": Machine(40, 0x05000000, 32, "<", struct.pack("<3I", 0xE3A0002A, 0xE3A07001, 0xEF000000)),
    "linux/riscv64": Machine(243, 0, 64, "<", struct.pack("<3I", 0x02A00513, 0x05D00893, 0x00000073)),
    "linux/ppc64le": Machine(21, 2, 64, "<", struct.pack("<3I", 0x38000001, 0x3860002A, 0x44000002)),
    "linux/s390x": Machine(22, 0, 64, ">", bytes.fromhex("a729002a 0a01")),
}
NATIVE = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}
BASE, PAGE = 0x400000, 0x10000


def program(machine: Machine) -> bytes:
    """The executable."""
    word, flags, bits, order, code = machine
    identity = b"\x7fELF" + bytes([bits // 32, 1 if order == "<" else 2, 1]) + bytes(9)
    head = 64 + 56 if bits == 64 else 52 + 32
    start, size = BASE + head, head + len(code)
    if bits == 64:
        header = struct.pack(f"{order}HHIQQQIHHHHHH", 2, word, 1, start, 64, 0, flags, 64, 56, 1, 0, 0, 0)
        segment = struct.pack(f"{order}IIQQQQQQ", 1, 5, 0, BASE, BASE, size, size, PAGE)
    else:
        header = struct.pack(f"{order}HHIIIIIHHHHHH", 2, word, 1, start, 52, 0, flags, 52, 32, 1, 0, 0, 0)
        segment = struct.pack(f"{order}8I", 1, 0, BASE, BASE, size, size, 5, PAGE)
    return identity + header + segment + code


def runs(platform: str, folder: Path) -> bool:
    """Whether this machine executes programs of a platform, by itself or by an emulator."""
    path = folder / platform.replace("/", "-")
    path.write_bytes(program(MACHINES[platform]))
    path.chmod(0o755)
    try:
        pid = os.posix_spawn(path, [path.name], {})
        _, status = os.waitpid(pid, 0)  # before it goes: an emulator may open it by name
    except OSError as error:
        if error.errno in (errno.ENOEXEC, errno.EINVAL, errno.ENOENT):
            return False
        raise
    finally:
        path.unlink()
    return os.waitstatus_to_exitcode(status) == CODE

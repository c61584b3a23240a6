"""Which device nodes a sandbox may open: the harmless ones and terminals, whoever makes the node.

A root user with CAP_MKNOD could otherwise make the node of a host disk and read it. Version 2 groups get a small eBPF
program (BPF_PROG_TYPE_CGROUP_DEVICE, assembled here), version 1 groups a list. Making a node is allowed, since archives
hold nodes; opening one is what is checked.
"""

import ctypes
import os
import struct
from contextlib import suppress
from functools import cache
from pathlib import Path

from runner.linux import call

CHARACTER = 2  # BPF_DEVCG_DEV_CHAR
MKNOD = 1  # BPF_DEVCG_ACC_MKNOD
ALLOWED = ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2), (136, None))  # null … urandom, tty, pts/*


def program() -> bytes:
    """The eBPF code: 1 to allow, 0 to refuse. Its context is (type | access << 16, major, minor), 32 bits each."""
    code: list[tuple[int, int, int, int, int]] = [  # opcode, destination, source, offset, immediate
        (0x61, 2, 1, 0, 0),  # r2 = type and access
        (0x61, 4, 1, 4, 0),  # r4 = major
        (0x61, 5, 1, 8, 0),  # r5 = minor
        (0xBF, 3, 2, 0, 0),
        (0x77, 3, 0, 0, 16),  # r3 = access
        (0x57, 2, 0, 0, 0xFFFF),  # r2 = type
        (0xB7, 0, 0, 0, 1),
        (0x55, 3, 0, 1, MKNOD),
        (0x95, 0, 0, 0, 0),
        (0x15, 2, 0, 2, CHARACTER),
        (0xB7, 0, 0, 0, 0),
        (0x95, 0, 0, 0, 0),
    ]
    for major, minor in ALLOWED:
        if minor is None:
            code += [(0x55, 4, 0, 1, major), (0x95, 0, 0, 0, 0)]
        else:
            code += [(0x55, 4, 0, 2, major), (0x55, 5, 0, 1, minor), (0x95, 0, 0, 0, 0)]
    code += [(0xB7, 0, 0, 0, 0), (0x95, 0, 0, 0, 0)]
    return b"".join(struct.pack("=BBhi", op, to | of << 4, offset, value) for op, to, of, offset, value in code)


@cache
def _loaded() -> int:
    code, license_name = ctypes.create_string_buffer(program()), ctypes.create_string_buffer(b"Apache-2.0")
    where = ctypes.addressof
    order = struct.pack(
        "=IIQQIIQII16sII", 15, (len(code) - 1) // 8, where(code), where(license_name), *([0] * 5), b"", 0, 6
    )
    return call("bpf", 5, order, len(order))


def restrict_unified(group: Path) -> None:
    """Attach the program to a version-2 group. Raises OSError where the kernel will not."""
    directory = os.open(group, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        order = struct.pack("=IIII", directory, _loaded(), 6, 2)  # BPF_CGROUP_DEVICE, BPF_F_ALLOW_MULTI
        call("bpf", 8, order, len(order))
    finally:
        os.close(directory)


def restrict_legacy(group: Path) -> None:
    """Write the list of a version-1 devices group. Raises OSError where that is not allowed."""
    rules = ["c *:* m", "b *:* m"]
    rules += [f"c {major}:{'*' if minor is None else minor} rwm" for major, minor in ALLOWED]
    for name, lines in (("devices.deny", ["a"]), ("devices.allow", rules)):
        descriptor = os.open(group / name, os.O_WRONLY | os.O_CLOEXEC)
        try:
            for line in lines:
                os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


def restrict(unified: Path | None, legacy: Path | None) -> str:
    """Guard a group with what there is: "bpf", "cgroup", or "" if neither works; the caller must then forbid mknod."""
    if unified is not None:
        with suppress(OSError):
            restrict_unified(unified)
            return "bpf"
    if legacy is not None:
        with suppress(OSError):
            restrict_legacy(legacy)
            return "cgroup"
    return ""

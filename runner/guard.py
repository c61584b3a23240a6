"""Guarding a control group's devices: a small eBPF program for version 2, assembled here, and a list for version 1.

The program is of BPF_PROG_TYPE_CGROUP_DEVICE; see the kernel's cgroup-v1/devices.rst and cgroup-v2.rst.
"""

import itertools
import os
import struct
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from layers.foreign import addressof, text
from runner.devices import ALL, DEFAULT, Rule
from runner.linux import call

ACCESS = {"m": 1, "r": 2, "w": 4}  # BPF_DEVCG_ACC_*
KINDS = {"b": 1, "c": 2}  # BPF_DEVCG_DEV_*
EVERY = sum(ACCESS.values())
MAJOR, MINOR = 12, 20
"""Bits of the numbers of a device (linux/kdev_t.h)."""
ATTEMPTS = 5
"""Of having a program looked at, which the kernel breaks off when a signal comes (EAGAIN)."""

Code = list[tuple[int, int, int, int, int]]  # opcode, destination, source, offset, immediate


def program(rules: Sequence[Rule] = DEFAULT) -> bytes:
    """The eBPF code: 1 to allow, 0 to refuse; what no rule speaks of is allowed.

    Its context is (type | access << 16, major, minor), 32 bits each. There is a chain of rules for each type, and one
    comparison for most of them: the kernel looks at a program along all of its ways, whenever it is loaded.
    """
    characters, blocks = (_chain(rules, kind) for kind in "cb")
    code: Code = [
        (0x61, 3, 1, 0, 0),  # r3 = type and access
        (0x61, 4, 1, 4, 0),  # r4 = major
        (0x61, 5, 1, 8, 0),  # r5 = minor
        (0xBF, 2, 3, 0, 0),
        (0x57, 2, 0, 0, 0xFFFF),  # r2 = type
        (0x77, 3, 0, 0, 16),  # r3 = access
        (0xBF, 7, 4, 0, 0),
        (0x67, 7, 0, 0, MINOR),
        (0x4F, 7, 5, 0, 0),  # r7 = major << 20 | minor
        (0x55, 2, 0, len(characters), KINDS["c"]),
        *characters,
        *blocks,
    ]
    return b"".join([struct.pack("=BBhi", op, to | of << 4, offset, value) for op, to, of, offset, value in code])


def _chain(rules: Sequence[Rule], kind: str) -> Code:
    """What decides of one type of device."""
    code: Code = []
    for rule in reversed(rules):
        if rule.kind not in (kind, "a") or (rule.major or 0) >> MAJOR or (rule.minor or 0) >> MINOR:
            continue  # it is not of this type, or no device has its number
        code += _check(rule)
        if rule[1:3] == (None, None) and set(rule.access) == ACCESS.keys():  # earlier ones count for nothing
            return code
    return [*code, (0xB7, 0, 0, 0, 1), (0x95, 0, 0, 0, 0)]


def _check(rule: Rule) -> Code:
    """Decide if the rule speaks of the device; an allowance must cover all that is wanted, a ban any part of it."""
    access = sum(ACCESS[letter] for letter in set(rule.access))
    end: Code = [(0xB7, 0, 0, 0, int(rule.allow)), (0x95, 0, 0, 0, 0)]
    if access != EVERY and rule.allow:
        end = [(0xBF, 6, 3, 0, 0), (0x57, 6, 0, 0, EVERY & ~access), (0x55, 6, 0, len(end), 0), *end]
    elif access != EVERY:
        end = [(0xBF, 6, 3, 0, 0), (0x57, 6, 0, 0, access), (0x15, 6, 0, len(end), 0), *end]
    if rule.major is not None and rule.minor is not None:
        both = rule.major << MINOR | rule.minor
        return [(0x56, 7, 0, len(end), both - (both >> 31 << 32)), *end]  # of 32 bits, with a sign
    for register, wanted in ((5, rule.minor), (4, rule.major)):
        if wanted is not None:
            end = [(0x55, register, 0, len(end), wanted), *end]
    return end


@cache
def _loaded(rules: tuple[Rule, ...]) -> int:
    code, license_name = text(program(rules)), text(b"Apache-2.0\0")
    order = struct.pack(
        "=IIQQIIQII16sII", 15, len(code) // 8, addressof(code), addressof(license_name), *([0] * 5), b"", 0, 6
    )
    for _ in range(ATTEMPTS - 1):
        with suppress(BlockingIOError):
            return call("bpf", 5, order, len(order))
    return call("bpf", 5, order, len(order))


def restrict_unified(group: Path, rules: tuple[Rule, ...] = DEFAULT) -> None:
    """Attach the program to a version-2 group. Raises OSError where the kernel will not."""
    directory = os.open(group, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        order = struct.pack("=IIII", directory, _loaded(rules), 6, 2)  # BPF_CGROUP_DEVICE, BPF_F_ALLOW_MULTI
        call("bpf", 8, order, len(order))
    finally:
        os.close(directory)


def restrict_legacy(group: Path, rules: tuple[Rule, ...] = DEFAULT) -> None:
    """Write the list of a version-1 devices group. Raises OSError where that is not allowed."""
    for allow, same in itertools.groupby(rules, key=lambda rule: rule.allow):
        descriptor = os.open(group / ("devices.allow" if allow else "devices.deny"), os.O_WRONLY | os.O_CLOEXEC)
        try:
            for line in itertools.chain.from_iterable(map(_lines, same)):
                os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


def _lines(rule: Rule) -> list[str]:
    """As the list has a rule; after its "a" it reads no further, and takes it for everything."""
    if rule.is_whole:
        return ["a"]
    return [str(rule._replace(kind=kind)) for kind in ("bc" if rule.kind == "a" else rule.kind)]


def restrict(unified: Path | None, legacy: Path | None, rules: tuple[Rule, ...] = DEFAULT) -> str:
    """Guard a group with what there is: "bpf", "cgroup", or "" if neither works; the caller must then forbid mknod.

    "open" where everything is allowed, as in a group that nobody guards.
    """
    if rules == (ALL,):
        return "open"
    if unified is not None:
        with suppress(OSError):
            restrict_unified(unified, rules)
            return "bpf"
    if legacy is not None:
        with suppress(OSError):
            restrict_legacy(legacy, rules)
            return "cgroup"
    return ""

"""Which devices a container may open, by rules of which later ones overrule earlier ones.

As `runner.devices`, but with bans among the rules: a small eBPF program for a version-2 group, a list for version 1.
"""

import ctypes
import os
import struct
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from runner.linux import call


class Rule(NamedTuple):
    """Whether a kind of device ("c", "b" or "a" for all) may be read, written, made; None stands for every number."""

    allow: bool
    kind: str
    major: int | None
    minor: int | None
    access: str


DEFAULT = (
    Rule(True, "c", None, None, "m"),
    Rule(True, "b", None, None, "m"),
    *(Rule(True, "c", 1, minor, "rwm") for minor in (3, 5, 7, 8, 9)),  # null zero full random urandom
    *(Rule(True, "c", 5, minor, "rwm") for minor in (0, 1, 2)),  # tty console ptmx
    Rule(True, "c", 136, None, "rwm"),  # pts/*
)
_BITS = {"m": 1, "r": 2, "w": 4}  # BPF_DEVCG_ACC_*
_TYPES = {"b": 1, "c": 2}  # BPF_DEVCG_DEV_*

Code = list[tuple[int, int, int, int, int]]  # opcode, destination, source, offset, immediate


def program(rules: Sequence[Rule]) -> bytes:
    """The eBPF code: 1 to allow, 0 to refuse; of two rules that speak of a device the later one decides.

    Its context is (type | access << 16, major, minor), 32 bits each. What no rule speaks of is allowed.
    """
    code: Code = [
        (0x61, 2, 1, 0, 0),  # r2 = type and access
        (0x61, 4, 1, 4, 0),  # r4 = major
        (0x61, 5, 1, 8, 0),  # r5 = minor
        (0xBF, 3, 2, 0, 0),
        (0x77, 3, 0, 0, 16),  # r3 = access
        (0x57, 2, 0, 0, 0xFFFF),  # r2 = type
    ]
    for rule in reversed(rules):
        code += _check(rule)
        if rule.kind == "a" and rule[2:] == (None, None, "rwm"):  # earlier ones count for nothing
            break
    else:
        code += [(0xB7, 0, 0, 0, 1), (0x95, 0, 0, 0, 0)]
    return b"".join(struct.pack("=BBhi", op, to | of << 4, offset, value) for op, to, of, offset, value in code)


def _check(rule: Rule) -> Code:
    """Decide if the rule speaks of the device; an allowance must cover all that is wanted, a ban any part of it."""
    access = sum(_BITS[letter] for letter in set(rule.access))
    end: Code = [(0xB7, 0, 0, 0, int(rule.allow)), (0x95, 0, 0, 0, 0)]
    if access != 7 and rule.allow:
        end = [(0xBF, 6, 3, 0, 0), (0x57, 6, 0, 0, 7 & ~access), (0x55, 6, 0, len(end), 0), *end]
    elif access != 7:
        end = [(0xBF, 6, 3, 0, 0), (0x57, 6, 0, 0, access), (0x15, 6, 0, len(end), 0), *end]
    for register, wanted in ((5, rule.minor), (4, rule.major), (2, _TYPES.get(rule.kind))):
        if wanted is not None:
            end = [(0x55, register, 0, len(end), wanted), *end]
    return end


@cache
def _loaded(rules: tuple[Rule, ...]) -> int:
    code, license_name = ctypes.create_string_buffer(program(rules)), ctypes.create_string_buffer(b"Apache-2.0")
    where = ctypes.addressof
    order = struct.pack(
        "=IIQQIIQII16sII", 15, (len(code) - 1) // 8, where(code), where(license_name), *([0] * 5), b"", 0, 6
    )
    return call("bpf", 5, order, len(order))


def restrict_unified(group: Path, rules: Sequence[Rule]) -> None:
    """Attach the program to a version-2 group. Raises OSError where the kernel will not."""
    directory = os.open(group, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        order = struct.pack("=IIII", directory, _loaded(tuple(rules)), 6, 2)  # BPF_CGROUP_DEVICE, BPF_F_ALLOW_MULTI
        call("bpf", 8, order, len(order))
    finally:
        os.close(directory)


def restrict_legacy(group: Path, rules: Sequence[Rule]) -> None:
    """Write the list of a version-1 devices group. Raises OSError where that is not allowed."""
    for rule in rules:
        numbers = ":".join("*" if number is None else str(number) for number in (rule.major, rule.minor))
        whole = rule.kind == "a" and numbers == "*:*" and set(rule.access) == set("rwm")
        kinds = [""] if whole else ["b", "c"] if rule.kind == "a" else [rule.kind]
        descriptor = os.open(group / ("devices.allow" if rule.allow else "devices.deny"), os.O_WRONLY | os.O_CLOEXEC)
        try:
            for kind in kinds:
                os.write(descriptor, f"{kind} {numbers} {rule.access}".encode() if kind else b"a")
        finally:
            os.close(descriptor)


def restrict(unified: Path | None, legacy: Path | None, rules: Sequence[Rule]) -> None:
    """Guard a group: with version 1's list where devices are of version 1, else with a program. Raises OSError."""
    if legacy is not None:
        restrict_legacy(legacy, rules)
    elif unified is not None:
        restrict_unified(unified, rules)

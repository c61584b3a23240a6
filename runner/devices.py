"""Which device nodes a sandbox may open: the harmless ones, terminals and what was asked for, whoever makes the node.

A root user with CAP_MKNOD could otherwise make the node of a host disk and read it. Version 2 groups get a small eBPF
program (BPF_PROG_TYPE_CGROUP_DEVICE, assembled here), version 1 groups a list. Making a node is allowed, since archives
hold nodes; opening one is what is checked.
"""

import os
import stat
import struct
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

MKNOD, READ, WRITE = 1, 2, 4  # BPF_DEVCG_ACC_*
ACCESS = {"m": MKNOD, "r": READ, "w": WRITE}
KINDS = {"b": 1, "c": 2}  # BPF_DEVCG_DEV_*


class Rule(NamedTuple):
    """Which nodes may be used how: "c", "b" or "a" (both); None is every number; letters of "rwm"."""

    kind: str
    major: int | None = None
    minor: int | None = None
    access: str = "rwm"

    @classmethod
    def parse(cls, text: str) -> "Rule":
        """`c 10:200 rwm`, as --device-cgroup-rule has it. Raises ValueError."""
        words = text.split()
        numbers = words[1].split(":") if len(words) == 3 else []
        ok = len(numbers) == 2 and words[0] in ("a", "b", "c") and words[2] and not set(words[2]) - set("rwm")
        if not ok or not all(number == "*" or number.isdigit() for number in numbers):
            raise ValueError(f"{text!r} is no device rule; write for example 'c 10:200 rwm' or 'b 8:* r'")
        major, minor = (None if number == "*" else int(number) for number in numbers)
        return cls(words[0], major, minor, "".join(letter for letter in "rwm" if letter in words[2]))

    def __str__(self) -> str:
        numbers = ("*" if number is None else str(number) for number in (self.major, self.minor))
        return f"{self.kind} {':'.join(numbers)} {self.access}"


class Device(NamedTuple):
    """A node that stands in /dev at `target`, made like the host's `source`, and how it may be used."""

    source: str
    target: str
    kind: str
    major: int
    minor: int
    mode: int = 0o666
    uid: int = 0
    gid: int = 0
    access: str = "rwm"

    @classmethod
    def like(cls, source: str, target: str, access: str = "rwm") -> "Device":
        """A node like the host's `source`. Raises ValueError if that is none, or if `target` is not below /dev."""
        try:
            there = os.stat(source)
        except OSError as error:
            raise ValueError(f"{source}: {error.strerror}") from None
        if not (stat.S_ISCHR(there.st_mode) or stat.S_ISBLK(there.st_mode)):
            raise ValueError(f"{source} is no device")
        place = os.path.normpath(target)
        if not place.startswith("/dev/"):
            raise ValueError(f"{target}: a device stands below /dev")
        kind = "c" if stat.S_ISCHR(there.st_mode) else "b"
        numbers = os.major(there.st_rdev), os.minor(there.st_rdev)
        return cls(source, place, kind, *numbers, stat.S_IMODE(there.st_mode), there.st_uid, there.st_gid, access)

    @property
    def rule(self) -> Rule:
        """What lets it be opened."""
        return Rule(self.kind, self.major, self.minor, self.access)


ALL = Rule("a")
DEFAULT = (
    Rule("c", access="m"),
    Rule("b", access="m"),
    *(Rule("c", 1, minor) for minor in (3, 5, 7, 8, 9)),  # null zero full random urandom
    *(Rule("c", 5, minor) for minor in (0, 1, 2)),  # tty console ptmx
    Rule("c", 136),  # pts/*
)


def program(rules: Sequence[Rule] = DEFAULT) -> bytes:
    """The eBPF code: 1 to allow, 0 to refuse. Its context is (type | access << 16, major, minor), 32 bits each."""
    code: list[tuple[int, int, int, int, int]] = [  # opcode, destination, source, offset, immediate
        (0x61, 2, 1, 0, 0),  # r2 = type and access
        (0x61, 4, 1, 4, 0),  # r4 = major
        (0x61, 5, 1, 8, 0),  # r5 = minor
        (0xBF, 3, 2, 0, 0),
        (0x77, 3, 0, 0, 16),  # r3 = access
        (0x57, 2, 0, 0, 0xFFFF),  # r2 = type
    ]
    for rule in rules:
        tests: list[tuple[int, int, int, int, int]] = []  # each skips to the next rule unless it holds
        if rule.kind != "a":
            tests.append((0x55, 2, 0, 0, KINDS[rule.kind]))
        if rule.major is not None:
            tests.append((0x55, 4, 0, 0, rule.major))
        if rule.minor is not None:
            tests.append((0x55, 5, 0, 0, rule.minor))
        wanted = sum(ACCESS[letter] for letter in rule.access)
        if wanted != MKNOD | READ | WRITE:  # nothing beyond it may be wanted
            tests += [(0xBF, 6, 3, 0, 0), (0x57, 6, 0, 0, ~wanted & 7), (0x55, 6, 0, 0, 0)]
        for place, (opcode, to, of, _, value) in enumerate(tests):
            code.append((opcode, to, of, len(tests) - place + 1 if opcode == 0x55 else 0, value))
        code += [(0xB7, 0, 0, 0, 1), (0x95, 0, 0, 0, 0)]
    code += [(0xB7, 0, 0, 0, 0), (0x95, 0, 0, 0, 0)]
    return b"".join(struct.pack("=BBhi", op, to | of << 4, offset, value) for op, to, of, offset, value in code)


@cache
def _loaded(rules: tuple[Rule, ...]) -> int:
    import ctypes  # here and not above: those who only speak of devices need no kernel

    from runner.linux import call

    code, license_name = ctypes.create_string_buffer(program(rules)), ctypes.create_string_buffer(b"Apache-2.0")
    where = ctypes.addressof
    order = struct.pack(
        "=IIQQIIQII16sII", 15, (len(code) - 1) // 8, where(code), where(license_name), *([0] * 5), b"", 0, 6
    )
    return call("bpf", 5, order, len(order))


def restrict_unified(group: Path, rules: tuple[Rule, ...] = DEFAULT) -> None:
    """Attach the program to a version-2 group. Raises OSError where the kernel will not."""
    from runner.linux import call

    directory = os.open(group, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        order = struct.pack("=IIII", directory, _loaded(rules), 6, 2)  # BPF_CGROUP_DEVICE, BPF_F_ALLOW_MULTI
        call("bpf", 8, order, len(order))
    finally:
        os.close(directory)


def restrict_legacy(group: Path, rules: tuple[Rule, ...] = DEFAULT) -> None:
    """Write the list of a version-1 devices group. Raises OSError where that is not allowed."""
    for name, lines in (("devices.deny", ["a"]), ("devices.allow", [str(rule) for rule in rules])):
        descriptor = os.open(group / name, os.O_WRONLY | os.O_CLOEXEC)
        try:
            for line in lines:
                os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


def restrict(unified: Path | None, legacy: Path | None, rules: tuple[Rule, ...] = DEFAULT) -> str:
    """Guard a group with what there is: "bpf", "cgroup", or "" if neither works; the caller must then forbid mknod.

    "open" where everything is allowed, as in a group that nobody guards.
    """
    if ALL in rules:
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

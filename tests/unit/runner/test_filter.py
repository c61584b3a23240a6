"""The system-call filter, run by a small interpreter of its machine."""

import errno
import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import CAPABILITIES, DEFAULT_CAPABILITIES, seccomp
from runner.syscalls import table

ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
EPERM, ENOSYS = ERRNO | errno.EPERM, ERRNO | errno.ENOSYS


def verdict(program: bytes, number: int, argument: int = 0, *, architecture: int = ARCHITECTURE["x86_64"]) -> int:
    """What classic BPF returns for struct seccomp_data."""
    data = struct.pack("<iIQ6Q", number if number < 2**31 else number - 2**32, architecture, 0, argument, *([0] * 5))
    code: list[tuple[int, int, int, int]] = list(struct.iter_unpack("=HBBI", program))
    at = accumulator = 0
    while True:
        operation, yes, no, value = code[at]
        at += 1
        match operation:
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", data, value)
            case 0x05:
                at += value
            case 0x15:
                at += yes if accumulator == value else no
            case 0x35:
                at += yes if accumulator >= value else no
            case 0x45:
                at += yes if accumulator & value else no
            case 0x06:
                return value
            case _:
                raise AssertionError(f"instruction {operation:#x} is none of ours")


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_call_has_the_verdict_that_the_tables_say(machine: str) -> None:
    program = seccomp.program(DEFAULT_CAPABILITIES, machine)
    assert len(program) // 8 < 4096
    opened = {name for cap in DEFAULT_CAPABILITIES for name in seccomp.GOVERNED.get(cap, "").split()}
    governed = {name for calls in seccomp.GOVERNED.values() for name in calls.split()}
    for name, number in table(machine).items():
        wanted = EPERM if name in (seccomp.NEVER | governed) - opened else ALLOW
        if name == "clone3":
            wanted = ENOSYS
        assert verdict(program, number, architecture=ARCHITECTURE[machine]) == wanted, name


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@given(number=st.integers(0, 2**32 - 1))
def test_a_number_that_is_in_no_table_does_not_exist(machine: str, number: int) -> None:
    program = seccomp.program(DEFAULT_CAPABILITIES, machine)
    if number not in table(machine).values():
        assert verdict(program, number, architecture=ARCHITECTURE[machine]) == ENOSYS


@given(architecture=st.integers(0, 2**32 - 1), number=st.integers(0, 500))
def test_a_foreign_machine_is_killed(architecture: int, number: int) -> None:
    if architecture != ARCHITECTURE["x86_64"]:
        program = seccomp.program(DEFAULT_CAPABILITIES, "x86_64")
        assert verdict(program, number, architecture=architecture) == KILL


@given(argument=st.integers(0, 2**64 - 1))
def test_arguments_that_are_looked_at(argument: int) -> None:
    program, numbers = seccomp.program(DEFAULT_CAPABILITIES, "x86_64"), table("x86_64")
    low = argument & 0xFFFFFFFF
    assert verdict(program, numbers["clone"], argument) == (EPERM if low & 0x7E020000 else ALLOW)
    assert verdict(program, numbers["socket"], argument) == (EPERM if low in (38, 40) else ALLOW)
    known = (0, 8, 0x20000, 0x20008, 0xFFFFFFFF)
    assert verdict(program, numbers["personality"], argument) == (ALLOW if low in known else EPERM)


@pytest.mark.parametrize("argument", [0x10000000, 0x20000, 0x40000000, 0x02000000, 38, 40, 39, 0, 8, 0xFFFFFFFF, 4])
def test_arguments_at_the_edges(argument: int) -> None:
    program, numbers = seccomp.program(DEFAULT_CAPABILITIES, "x86_64"), table("x86_64")
    assert verdict(program, numbers["clone"], argument) == (EPERM if argument & 0x7E020000 else ALLOW)
    assert verdict(program, numbers["socket"], argument) == (EPERM if argument in (38, 40) else ALLOW)


@pytest.mark.parametrize(("capability", "calls"), seccomp.GOVERNED.items())
def test_a_capability_opens_its_calls_and_no_others(capability: str, calls: str) -> None:
    assert capability in CAPABILITIES
    numbers = table("x86_64")
    with_it = seccomp.program(DEFAULT_CAPABILITIES | {capability}, "x86_64")
    without = seccomp.program(DEFAULT_CAPABILITIES - {capability}, "x86_64")
    changed = {name for name in numbers if verdict(with_it, numbers[name]) != verdict(without, numbers[name])}
    assert changed <= {*calls.split(), "clone", "clone3"}
    assert all(verdict(with_it, numbers[name]) == ALLOW for name in calls.split() if name in numbers)


def test_names_in_the_filter_are_names_of_calls() -> None:
    known = {*table("x86_64"), *table("aarch64"), *table("i686")}
    assert {*seccomp.NEVER, *" ".join(seccomp.GOVERNED.values()).split()} - known == set()


@pytest.mark.parametrize(
    ("machine", "header", "prefix"),
    [
        ("x86_64", "/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "__NR_"),
        ("aarch64", "/usr/include/asm-generic/unistd.h", "__NR(?:3264)?_"),
        ("i686", "/usr/include/x86_64-linux-gnu/asm/unistd_32.h", "__NR_"),
    ],
)
def test_numbers_are_those_of_the_kernels_headers(machine: str, header: str, prefix: str) -> None:
    if not Path(header).exists():
        pytest.skip(f"{header} is not here")
    found = re.findall(rf"#define {prefix}(\w+)\s+(\d+)", Path(header).read_text())
    theirs = {name: int(number) for name, number in found if name not in ("syscalls", "arch_specific_syscall")}
    ours = table(machine)
    assert {name: number for name, number in theirs.items() if ours.get(name, number) != number} == {}
    assert len(theirs.keys() & ours.keys()) > 250

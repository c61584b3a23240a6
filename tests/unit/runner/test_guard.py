"""The program that guards devices, run by a small interpreter of its machine."""

import errno
import os
import struct
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import guard
from runner.devices import DEFAULT, HARMLESS, Rule, allowing

MAKE, READ, WRITE = 1, 2, 4
BLOCK, CHARACTER = 1, 2
ALLOWED = {(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)}
MAJORS = st.sampled_from([0, 1, 2, 2047, 2048, 4095])
MINORS = st.sampled_from([0, 1, 2, 1 << 19, (1 << 20) - 1])
USES = st.integers(1, 7)
RULES = st.builds(
    Rule,
    st.sampled_from("abc"),
    st.none() | MAJORS | st.just(4096),
    st.none() | MINORS | st.just(1 << 32),
    st.sampled_from(["r", "w", "m", "rw", "rm", "wm", "rwm"]),
    st.booleans(),
)


def verdict(kind: int, access: int, major: int, minor: int, rules: Sequence[Rule] = DEFAULT) -> int:
    """What eBPF returns for struct bpf_cgroup_dev_ctx."""
    context = struct.pack("=III", kind | access << 16, major, minor)
    code = list(struct.iter_unpack("=BBhi", guard.program(rules)))
    registers = [0] * 11
    at = 0
    while True:
        operation, both, offset, value = code[at]
        to, of = both & 15, both >> 4
        at += 1
        match operation:
            case 0x61:
                (registers[to],) = struct.unpack_from("=I", context, offset)
            case 0xBF:
                registers[to] = registers[of]
            case 0xB7:
                registers[to] = value
            case 0x4F:
                registers[to] |= registers[of]
            case 0x67:
                registers[to] <<= value
            case 0x77:
                registers[to] >>= value
            case 0x57:
                registers[to] &= value
            case 0x55:
                at += offset if registers[to] != value else 0
            case 0x56:
                at += offset if registers[to] & (1 << 32) - 1 != value & (1 << 32) - 1 else 0
            case 0x15:
                at += offset if registers[to] == value else 0
            case 0x95:
                return registers[0]
            case _:
                raise AssertionError(f"instruction {operation:#x} is none of ours")


@given(st.sampled_from([BLOCK, CHARACTER]), USES, st.integers(0, 300), st.integers(0, 300))
def test_devices_that_may_be_opened(kind: int, access: int, major: int, minor: int) -> None:
    wanted = access == MAKE or (kind == CHARACTER and ((major, minor) in ALLOWED or major == 136))
    assert verdict(kind, access, major, minor) == wanted


def test_each_harmless_device_and_its_block_namesake() -> None:
    for major, minor in {*ALLOWED, (136, 0), (136, 77)}:
        assert verdict(CHARACTER, READ | WRITE, major, minor) == 1
        assert verdict(BLOCK, READ | WRITE, major, minor) == 0
        assert verdict(BLOCK, MAKE, major, minor) == 1
    assert verdict(CHARACTER, READ, 10, 229) == verdict(CHARACTER, WRITE, 1, 1) == 0


def test_later_rules_overrule() -> None:
    rules = [Rule("a", allow=False), Rule("c", 10, None, "rw"), Rule("c", 10, 3, "w", allow=False), *HARMLESS]
    assert verdict(CHARACTER, READ | WRITE, 10, 5, rules) == 1
    assert verdict(CHARACTER, WRITE, 10, 3, rules) == 0
    assert verdict(CHARACTER, READ, 10, 3, rules) == 1
    assert verdict(BLOCK, READ, 8, 0, rules) == 0 and verdict(BLOCK, MAKE, 8, 0, rules) == 1
    assert verdict(CHARACTER, READ | WRITE, 1, 3, rules) == 1 and verdict(CHARACTER, READ, 1, 1, rules) == 0


@given(st.lists(RULES, max_size=6), st.sampled_from([BLOCK, CHARACTER]), USES, MAJORS, MINORS)
def test_the_last_rule_that_speaks_of_a_use_decides(
    rules: list[Rule], kind: int, access: int, major: int, minor: int
) -> None:
    wanted = True
    for rule in rules:
        uses = sum(guard.ACCESS[letter] for letter in rule.access)
        speaks = rule.kind in ("a", {BLOCK: "b", CHARACTER: "c"}[kind])
        speaks &= rule.major in (None, major) and rule.minor in (None, minor)
        if speaks and (access & ~uses == 0 if rule.allow else access & uses):
            wanted = rule.allow
    assert verdict(kind, access, major, minor, rules) == wanted


def test_what_allows_everything_is_alone() -> None:
    assert allowing([Rule("c", 10), Rule("a")]) == (Rule("a"),)
    assert allowing([Rule("c", 10)]) == (*DEFAULT, Rule("c", 10))


@pytest.mark.parametrize("interrupted", [0, 2, guard.ATTEMPTS - 1, guard.ATTEMPTS])
def test_a_signal_meanwhile_leaves_nobody_unguarded(interrupted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel looks at programs for long, and breaks off when a signal comes."""
    told = [*[errno.EAGAIN] * interrupted, 0]

    def call(*_: object) -> int:
        if number := told.pop(0):
            raise OSError(number, os.strerror(number))
        return 7

    monkeypatch.setattr(guard, "call", call)
    if interrupted == guard.ATTEMPTS:
        with pytest.raises(BlockingIOError):
            guard._loaded.__wrapped__(DEFAULT)
    else:
        assert guard._loaded.__wrapped__(DEFAULT) == 7
        assert not told

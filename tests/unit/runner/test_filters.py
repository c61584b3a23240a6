"""Filters of any rules, beside what the rules say in Python."""

import errno
import operator
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.filters import ACTIONS, Comparison, Rule, action, assemble
from runner.syscalls import table

NUMBERS = table("x86_64")
ARCHITECTURE = 0xC000003E
MEANING: dict[str, Callable[[int, int, int], bool]] = {
    "SCMP_CMP_NE": lambda found, value, _: found != value,
    "SCMP_CMP_LT": lambda found, value, _: found < value,
    "SCMP_CMP_LE": lambda found, value, _: found <= value,
    "SCMP_CMP_EQ": lambda found, value, _: found == value,
    "SCMP_CMP_GE": lambda found, value, _: found >= value,
    "SCMP_CMP_GT": lambda found, value, _: found > value,
    "SCMP_CMP_MASKED_EQ": lambda found, mask, value: found & mask == value,
}
ALLOW, REFUSE = ACTIONS["SCMP_ACT_ALLOW"], action("SCMP_ACT_ERRNO")
WORDS = st.sampled_from([0, 1, 7, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1)
COMPARISONS = st.builds(Comparison, st.integers(0, 5), st.sampled_from(sorted(MEANING)), WORDS, WORDS)
JUMPS = {0x15: operator.eq, 0x25: operator.gt, 0x35: operator.ge, 0x45: operator.and_}


def verdict(program: bytes, number: int, arguments: list[int], architecture: int = ARCHITECTURE) -> int:
    """What classic BPF returns for struct seccomp_data."""
    data = struct.pack("<IIQ6Q", number, architecture, 0, *arguments)
    code: list[tuple[int, int, int, int]] = list(struct.iter_unpack("=HBBI", program))
    at = accumulator = 0
    while True:
        operation, yes, no, value = code[at]
        at += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif operation == 0x54:
            accumulator &= value
        elif operation == 0x05:
            at += value
        elif operation == 0x06:
            return value
        else:
            at += yes if JUMPS[operation](accumulator, value) else no


@given(st.lists(COMPARISONS, max_size=4, unique_by=lambda one: one.index), st.lists(WORDS, min_size=6, max_size=6))
def test_comparisons_mean_what_they_say(comparisons: list[Comparison], arguments: list[int]) -> None:
    program = assemble(ALLOW, [Rule(("kill",), REFUSE, tuple(comparisons))], "x86_64")
    holds = all(MEANING[one.operator](arguments[one.index], one.value, one.second) for one in comparisons)
    assert verdict(program, NUMBERS["kill"], arguments) == (REFUSE if holds else ALLOW)
    assert verdict(program, NUMBERS["read"], arguments) == ALLOW


@given(st.lists(st.sampled_from(sorted(NUMBERS)), unique=True))
def test_names(names: list[str]) -> None:
    program = assemble(REFUSE, [Rule((*names, "no_such_call"), ALLOW)], "x86_64")
    for name, number in NUMBERS.items():
        found = verdict(program, number, [0] * 6)
        beyond = not names or number > max(NUMBERS[one] for one in names)
        assert found == (
            ALLOW if name in names else ACTIONS["SCMP_ACT_ERRNO"] | errno.ENOSYS if beyond and names else REFUSE
        )


def test_the_first_rule_that_holds_decides() -> None:
    rules = [
        Rule(("kill",), action("SCMP_ACT_ERRNO", 7), (Comparison(0, "SCMP_CMP_EQ", 1),)),
        Rule(
            ("kill",), action("SCMP_ACT_ERRNO", 8), (Comparison(0, "SCMP_CMP_LT", 5), Comparison(0, "SCMP_CMP_EQ", 9))
        ),
    ]
    program = assemble(ALLOW, rules, "x86_64")
    found = [verdict(program, NUMBERS["kill"], [first, 0, 0, 0, 0, 0]) & 0xFFFF for first in (1, 2, 9, 6)]
    assert found == [7, 8, 8, ALLOW & 0xFFFF]


def test_other_machines_get_the_default() -> None:
    program = assemble(REFUSE, [Rule(("read",), ALLOW)], "x86_64")
    assert verdict(program, NUMBERS["read"], [0] * 6, architecture=0x40000003) == REFUSE
    assert verdict(program, NUMBERS["read"] | 0x40000000, [0] * 6) == REFUSE


@pytest.mark.parametrize(
    ("name", "number"), [("SCMP_ACT_NOTIFY", None), ("x", None), ("SCMP_ACT_ALLOW", 3), ("SCMP_ACT_ERRNO", 5000)]
)
def test_no_action(name: str, number: int | None) -> None:
    with pytest.raises(ValueError, match=r"is|takes"):
        action(name, number)


def test_too_long() -> None:
    rules = [Rule((name,), REFUSE, (Comparison(0, "SCMP_CMP_EQ", place),)) for place, name in enumerate([*NUMBERS] * 4)]
    with pytest.raises(ValueError, match="4096"):
        assemble(ALLOW, rules, "x86_64")

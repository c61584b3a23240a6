"""Any filter of system calls, from rules as OCI's `linux.seccomp` has them, assembled into classic BPF.

Names that are not in our table do not exist on this machine, and rules for them say nothing. A call whose number is
above all that a profile knows fails with ENOSYS where its default would be an error, so that a libc falls back to older
calls. Words of other machines (32-bit calls) get the default action, whatever `architectures` say: no rule of ours
knows their numbers. Operators compare 64-bit arguments; see seccomp(2) and libseccomp's seccomp_rule_add(3).
"""

import errno
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from runner.bpf import AUDIT_ARCH, Code, search
from runner.syscalls import MACHINE, table

ACTIONS: Mapping[str, int] = {
    "SCMP_ACT_KILL": 0,
    "SCMP_ACT_KILL_THREAD": 0,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
OPERATORS = frozenset(f"SCMP_CMP_{name}" for name in ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"))
LONGEST = 4096
"""BPF_MAXINSNS: instructions that the kernel takes."""
_LOAD, _AND, _JA, _JEQ, _JGT, _JGE, _RET = 0x20, 0x54, 0x05, 0x15, 0x25, 0x35, 0x06
_X32 = 0x40000000


@dataclass(frozen=True, slots=True)
class Comparison:
    """What an argument has to be: `operator` as OPERATORS names it; for MASKED_EQ `value` is the mask."""

    index: int
    operator: str
    value: int
    second: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """Calls and what becomes of them if every comparison holds. `action` is a word for BPF's return."""

    names: tuple[str, ...]
    action: int
    comparisons: tuple[Comparison, ...] = ()


def action(name: str, number: int | None = None) -> int:
    """The word for an action; `number` is its errno (EPERM unless told). Raises ValueError."""
    if name == "SCMP_ACT_NOTIFY":
        raise ValueError("SCMP_ACT_NOTIFY is not supported: nobody here answers for system calls")
    if name not in ACTIONS:
        raise ValueError(f"{name!r} is no action of seccomp")
    word = ACTIONS[name]
    if name in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"):
        if number is not None and not 0 <= number <= 4095:
            raise ValueError(f"{number} is no errno")
        word |= errno.EPERM if number is None else number
    elif number:
        raise ValueError(f"{name} takes no errno")
    return word


def assemble(default: int, rules: Iterable[Rule], machine: str = MACHINE) -> bytes:
    """The filter, as an array of struct sock_filter. The first of a call's rules whose comparisons hold decides.

    Raises ValueError for a filter that is longer than the kernel takes.
    """
    numbers = table(machine)
    verdicts: dict[int, Code] = {}
    by_number: dict[int, list[tuple[tuple[Comparison, ...], int]]] = {}
    for rule in rules:
        for name in rule.names:
            if name in numbers:
                for comparisons in _alternatives(rule.comparisons):
                    by_number.setdefault(numbers[name], []).append((comparisons, rule.action))
    for number, choices in by_number.items():
        verdicts[number] = _verdict(choices, default)
    ordinary: Code = [(_RET, 0, 0, default)]
    beyond = ordinary
    if default & 0xFFFF0000 == ACTIONS["SCMP_ACT_ERRNO"]:
        beyond = [(_RET, 0, 0, ACTIONS["SCMP_ACT_ERRNO"] | errno.ENOSYS)]
    ranges: list[tuple[int, Code]] = [(0, verdicts.get(0, ordinary))]
    for number in range(1, max(verdicts, default=0) + 1):
        verdict = verdicts.get(number, ordinary)
        if ranges[-1][1] != verdict:
            ranges.append((number, verdict))
    if verdicts:
        ranges.append((max(verdicts) + 1, beyond))
    code: Code = [
        (_LOAD, 0, 0, 4),
        (_JEQ, 1, 0, AUDIT_ARCH[machine]),
        *ordinary,
        (_LOAD, 0, 0, 0),
        (_JGE, 0, 1, _X32),
        *ordinary,
        *search(ranges),
    ]
    if len(code) > LONGEST:
        raise ValueError(f"the filter has {len(code)} instructions; the kernel takes {LONGEST}")
    return b"".join(struct.pack("=HBBI", *step) for step in code)


def _alternatives(comparisons: Sequence[Comparison]) -> list[tuple[Comparison, ...]]:
    """All together; but as libseccomp cannot test an argument twice, engines mean "or" when they do so."""
    if len({one.index for one in comparisons}) == len(comparisons):
        return [tuple(comparisons)]
    return [(one,) for one in comparisons]


def _verdict(choices: Sequence[tuple[tuple[Comparison, ...], int]], default: int) -> Code:
    """The code for one call: rule after rule, and the default after them."""
    code: Code = [(_RET, 0, 0, default)]
    for comparisons, word in reversed(choices):
        matched: Code = [(_RET, 0, 0, word)]
        for comparison in reversed(comparisons):
            matched = _test(comparison, matched, len(matched))
        code = matched + code if comparisons else matched
    return code


def _test(comparison: Comparison, then: Code, beyond: int) -> Code:
    """Go on with `then` if it holds, else jump over `then`."""
    low, high = 16 + 8 * comparison.index, 20 + 8 * comparison.index
    kind = comparison.operator.removeprefix("SCMP_CMP_")
    value = comparison.second if kind == "MASKED_EQ" else comparison.value
    upper, lower = value >> 32, value & 0xFFFFFFFF
    load_high, load_low = (_LOAD, high, "", ""), (_LOAD, low, "", "")
    if kind in ("EQ", "MASKED_EQ"):
        mask = comparison.value if kind == "MASKED_EQ" else 2**64 - 1
        steps = [
            load_high, (_AND, mask >> 32, "", ""), (_JEQ, upper, "", "no"),
            load_low, (_AND, mask & 0xFFFFFFFF, "", ""), (_JEQ, lower, "yes", "no"),
        ]  # fmt: skip
    elif kind == "NE":
        steps = [load_high, (_JEQ, upper, "", "yes"), load_low, (_JEQ, lower, "no", "yes")]
    elif kind in ("GT", "GE"):
        last = _JGT if kind == "GT" else _JGE
        steps = [load_high, (_JGT, upper, "yes", ""), (_JEQ, upper, "", "no"), load_low, (last, lower, "yes", "no")]
    else:
        last = _JGE if kind == "LT" else _JGT
        steps = [load_high, (_JGT, upper, "no", ""), (_JEQ, upper, "", "yes"), load_low, (last, lower, "no", "yes")]
    # What it guards may be long, so "no" is one long jump behind the tests.
    code: Code = []
    for place, (opcode, operand, true, false) in enumerate(steps, 1):
        aims = {"": 0, "no": len(steps) - place, "yes": len(steps) - place + 1}
        code.append((opcode, aims[true], aims[false], operand))
    return [*code, (_JA, 0, 0, beyond), *then]

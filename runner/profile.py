"""System-call filters from profile files, in docker's JSON format, for a set of capabilities.

Several rules may name one call. As with runc, a rule that says what the default says does not count, and of those
without conditions the first does. Else the strictest verdict holds whose conditions are met, as the kernel ranks them:
no call passes here that runc would refuse. A call that our tables do not know keeps the default. If that refuses, or if
a rule wanted to refuse an unknown call, every number that is in no table does not exist (ENOSYS): a libc then falls
back to older calls, and nothing slips through.
Format: docs.docker.com/engine/security/seccomp, seccomp.h of libseccomp.
"""

import errno
import json
import os
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from runner import bpf
from runner.bpf import Code
from runner.syscalls import MACHINE, table

ACTIONS: Mapping[str, int] = {
    "SCMP_ACT_KILL": bpf.KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": bpf.KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": bpf.KILL_PROCESS,
    "SCMP_ACT_TRAP": bpf.TRAP,
    "SCMP_ACT_ERRNO": bpf.ERRNO,
    "SCMP_ACT_TRACE": bpf.TRACE,
    "SCMP_ACT_LOG": bpf.LOG,
    "SCMP_ACT_ALLOW": bpf.ALLOW,
}
STRICTEST = (bpf.KILL_PROCESS, bpf.KILL_THREAD, bpf.TRAP, bpf.ERRNO, bpf.TRACE, bpf.LOG, bpf.ALLOW)
PERMISSIVE = frozenset({bpf.ALLOW, bpf.LOG})
MOST_DATA = 4095  # MAX_ERRNO
ARCHES = {"x86_64": "amd64", "aarch64": "arm64"}
OPERATIONS = ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")
DATA = 0xFFFF  # SECCOMP_RET_DATA
TOP = {"defaultAction", "defaultErrnoRet", "defaultErrno", "architectures", "archMap", "flags", "syscalls", "comment"}
RULE = {"name", "names", "action", "errnoRet", "errno", "args", "comment", "includes", "excludes"}
FILTER = {"arches", "caps", "minKernel"}
HARMLESS_FLAGS = {"SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"}


class Condition(NamedTuple):
    """What an argument (0 to 5) must be: one of OPERATIONS; MASKED_EQ compares the bits of `value` with `other`."""

    argument: int
    operation: str
    value: int
    other: int


class Rule(NamedTuple):
    """A verdict for calls whose arguments meet all conditions."""

    names: tuple[str, ...]
    verdict: int
    conditions: tuple[Condition, ...]


@cache
def compiled(text: str, capabilities: frozenset[str], machine: str = MACHINE) -> bytes:
    """The filter of a profile for a process with `capabilities`. Raises ValueError with what is wrong in it."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"it is no JSON ({error})") from None
    except RecursionError:
        raise ValueError("it is no profile: it is nested too deeply") from None
    default, rules = _read(_object(value, "the profile", TOP), capabilities, machine)
    numbers = table(machine)
    by_name: dict[str, dict[tuple[Condition, ...], int]] = {}
    closed = default & ~DATA not in PERMISSIVE
    for rule in rules:
        if rule.verdict == default:
            continue
        for name in rule.names:
            if name in numbers:
                by_name.setdefault(name, {}).setdefault(rule.conditions, rule.verdict)
            else:
                closed = closed or rule.verdict & ~DATA not in PERMISSIVE
    fallback: Code = [(bpf.RET, 0, 0, default)]
    verdicts = dict.fromkeys(numbers.values(), fallback)
    for name, known in by_name.items():
        verdicts[numbers[name]] = _verdict(known, default)
    return bpf.assembled(verdicts, bpf.UNKNOWN if closed else fallback, machine)


def _read(profile: Mapping[str, Any], capabilities: frozenset[str], machine: str) -> tuple[int, list[Rule]]:
    if "defaultAction" not in profile:
        raise ValueError("it has no defaultAction")
    if profile.get("architectures") and profile.get("archMap"):
        raise ValueError("'architectures' and 'archMap' are both there; one of them is enough")
    for flag in _list(profile, "flags"):
        if str(flag) not in HARMLESS_FLAGS:
            raise ValueError(f"the flag {flag} is not supported")
    default = _action(profile["defaultAction"], profile.get("defaultErrnoRet"), profile.get("defaultErrno"), "default")
    rules: list[Rule] = []
    for place, item in enumerate(_list(profile, "syscalls"), 1):
        where = f"rule {place}"
        rule = _object(item, where, RULE)
        if rule.get("name") and rule.get("names"):
            raise ValueError(f"{where}: 'name' and 'names' are both there; one of them is enough")
        names = [rule["name"]] if rule.get("name") else _list(rule, "names")
        if not names or not all(isinstance(name, str) and name for name in names):
            raise ValueError(f"{where} names no system call")
        if "action" not in rule:
            raise ValueError(f"{where} has no action")
        verdict = _action(rule["action"], rule.get("errnoRet"), rule.get("errno"), where)
        conditions = [_condition(argument, where) for argument in _list(rule, "args")]
        if _counts(rule, where, capabilities, machine):
            alternatives = [tuple(conditions)]
            if len({one.argument for one in conditions}) < len(conditions):  # as runc: then each counts for itself
                alternatives = [(one,) for one in conditions]
            rules += [Rule(tuple(names), verdict, one) for one in alternatives]
    return default, rules


def _counts(rule: Mapping[str, Any], where: str, capabilities: frozenset[str], machine: str) -> bool:
    """Whether it is meant for this machine, kernel and process."""
    include = _object(rule.get("includes") or {}, f"{where}: includes", FILTER)
    exclude = _object(rule.get("excludes") or {}, f"{where}: excludes", FILTER)
    arch = ARCHES[machine]
    wanted, unwanted = (
        {str(name).upper().removeprefix("CAP_") for name in _list(side, "caps")} for side in (include, exclude)
    )
    return not (
        (_list(include, "arches") and arch not in _list(include, "arches"))
        or arch in _list(exclude, "arches")
        or wanted - capabilities
        or unwanted & capabilities
        or (include.get("minKernel") and _kernel() < _version(include["minKernel"], where))
        or (exclude.get("minKernel") and _kernel() >= _version(exclude["minKernel"], where))
    )


def _action(name: object, number: object, word: object, where: str) -> int:
    if not isinstance(name, str) or name not in ACTIONS:
        why = "needs a listener, and is not supported" if name == "SCMP_ACT_NOTIFY" else "is unknown"
        raise ValueError(f"{where}: the action {name!r} {why}")
    action = ACTIONS[name]
    if number is None and isinstance(word, str) and word:
        number = getattr(errno, word, word)
    if number is None:
        number = errno.EPERM
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= MOST_DATA:
        raise ValueError(f"{where}: {number!r} is no error number")
    return action | number if action in (bpf.ERRNO, bpf.TRACE) else action


def _condition(value: object, where: str) -> Condition:
    argument = _object(value, f"{where}: args", {"index", "value", "valueTwo", "op"})
    numbers = [argument.get(name, 0) for name in ("index", "value", "valueTwo")]
    operation = str(argument.get("op", "")).removeprefix("SCMP_CMP_")
    if not all(isinstance(one, int) and not isinstance(one, bool) and 0 <= one < 2**64 for one in numbers):
        raise ValueError(f"{where}: an argument is compared with numbers from 0 to 2^64-1")
    if numbers[0] > 5:
        raise ValueError(f"{where}: there is no argument {numbers[0]}; they count from 0 to 5")
    if operation not in OPERATIONS:
        raise ValueError(f"{where}: unknown comparison {argument.get('op')!r}")
    return Condition(numbers[0], operation, numbers[1], numbers[2])


def _verdict(known: Mapping[tuple[Condition, ...], int], default: int) -> Code:
    """What is returned for one call: of the rules that are stricter than the one without conditions, the strictest."""
    code: Code = []
    last = known.get((), default)
    conditional = [
        (_strictness(verdict), conditions, verdict)
        for conditions, verdict in known.items()
        if conditions and (() not in known or _strictness(verdict) < _strictness(last))
    ]
    for _, conditions, verdict in sorted(conditional, key=lambda one: one[0]):
        tests = [_test(one) for one in conditions]
        length = sum(map(len, tests))
        at = 0
        for test in tests:
            for place, (operation, yes, no, value) in enumerate(test):
                ways = {"pass": len(test) - place - 1, "fail": length - at}  # to the next test; past the return
                code.append((operation, ways.get(yes, 0), ways.get(no, 0), value))
                at += 1
        code.append((bpf.RET, 0, 0, verdict))
    return [*code, (bpf.RET, 0, 0, last)]


def _strictness(verdict: int) -> int:
    """Its place in the kernel's order, 0 for the strictest."""
    return STRICTEST.index(verdict & ~DATA)


def _test(condition: Condition) -> list[tuple[int, str, str, int]]:
    """Code that goes to "pass" or "fail", or on; past its end is pass. Arguments are compared in two halves."""
    argument, operation, value, other = condition
    low = bpf.FIRST_ARGUMENT + 8 * argument
    load_high, load_low = (bpf.LOAD, "", "", low + 4), (bpf.LOAD, "", "", low)
    top, bottom = value >> 32, value & 0xFFFFFFFF
    match operation:
        case "MASKED_EQ":
            wanted = value & other
            return [
                load_high, (bpf.AND, "", "", top), (bpf.JEQ, "", "fail", wanted >> 32),
                load_low, (bpf.AND, "", "", bottom), (bpf.JEQ, "", "fail", wanted & 0xFFFFFFFF),
            ]  # fmt: skip
        case "EQ":
            return [load_high, (bpf.JEQ, "", "fail", top), load_low, (bpf.JEQ, "", "fail", bottom)]
        case "NE":
            return [load_high, (bpf.JEQ, "", "pass", top), load_low, (bpf.JEQ, "fail", "pass", bottom)]
    more, less = ("pass", "fail") if operation in ("GT", "GE") else ("fail", "pass")
    last = bpf.JGT if operation in ("GT", "LE") else bpf.JGE
    return [
        load_high, (bpf.JGT, more, "", top), (bpf.JEQ, "", less, top), load_low, (last, more, less, bottom),
    ]  # fmt: skip


def _object(value: object, where: str, known: set[str]) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where} is no JSON object")
    if unknown := value.keys() - known:
        raise ValueError(f"{where}: unknown key {min(unknown)!r}")
    return value


def _list(value: Mapping[str, Any], key: str) -> Sequence[Any]:
    found = value.get(key)
    if found is not None and not isinstance(found, list):
        raise ValueError(f"{key} is no list")
    return found or []


def _version(text: object, where: str) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", str(text))
    if found is None:
        raise ValueError(f"{where}: {text!r} is no version of the kernel")
    return int(found[1]), int(found[2])


def _kernel() -> tuple[int, int]:
    return _version(os.uname().release, "uname")

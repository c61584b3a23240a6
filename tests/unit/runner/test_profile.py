"""Profiles of system calls: what they come to, what is refused, and a model that says the same as the kernel's code."""

import errno
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import DEFAULT_CAPABILITIES
from runner.bpf import ALLOW, ERRNO, KILL_PROCESS, KILL_THREAD, LOG, LONGEST, TRACE, TRAP
from runner.profile import compiled
from runner.syscalls import table

NUMBERS = table("x86_64")
EPERM, ENOSYS = ERRNO | errno.EPERM, ERRNO | errno.ENOSYS
NONE: frozenset[str] = frozenset()


def verdict(program: bytes, number: int, *arguments: int, architecture: int = 0xC000003E) -> int:
    """What classic BPF returns for struct seccomp_data."""
    data = struct.pack("<IIQ6Q", number, architecture, 0, *(*arguments, 0, 0, 0, 0, 0, 0)[:6])
    code: list[tuple[int, int, int, int]] = list(struct.iter_unpack("=HBBI", program))
    at = accumulator = 0
    while True:
        operation, yes, no, value = code[at]
        at += 1
        match operation:
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", data, value)
            case 0x54:
                accumulator &= value
            case 0x05:
                at += value
            case 0x15:
                at += yes if accumulator == value else no
            case 0x25:
                at += yes if accumulator > value else no
            case 0x35:
                at += yes if accumulator >= value else no
            case 0x06:
                return value
            case _:
                raise AssertionError(f"instruction {operation:#x} is none of ours")


def profile(*rules: dict[str, Any], default: str = "SCMP_ACT_ERRNO", **more: Any) -> str:
    return json.dumps({"defaultAction": default, "syscalls": list(rules), **more})


def rule(*names: str, action: str = "SCMP_ACT_ALLOW", **more: Any) -> dict[str, Any]:
    return {"names": list(names), "action": action, **more}


def compile(text: str, capabilities: frozenset[str] = NONE) -> bytes:
    return compiled(text, capabilities, "x86_64")


@pytest.mark.parametrize(
    ("action", "more", "wanted"),
    [
        ("SCMP_ACT_ALLOW", {}, ALLOW),
        ("SCMP_ACT_LOG", {}, LOG),
        ("SCMP_ACT_KILL", {}, KILL_THREAD),
        ("SCMP_ACT_KILL_PROCESS", {}, KILL_PROCESS),
        ("SCMP_ACT_TRAP", {}, TRAP),
        ("SCMP_ACT_ERRNO", {}, EPERM),
        ("SCMP_ACT_ERRNO", {"errnoRet": 95}, ERRNO | 95),
        ("SCMP_ACT_ERRNO", {"errno": "ENOTSUP"}, ERRNO | errno.ENOTSUP),
        ("SCMP_ACT_ERRNO", {"errnoRet": 0}, ERRNO),
        ("SCMP_ACT_TRACE", {"errnoRet": 7}, TRACE | 7),
    ],
)
def test_every_action(action: str, more: dict[str, Any], wanted: int) -> None:
    program = compile(profile(rule("chmod", action=action, **more), default="SCMP_ACT_KILL_THREAD"))
    assert verdict(program, NUMBERS["chmod"]) == wanted
    assert verdict(program, NUMBERS["chown"]) == KILL_THREAD


def test_what_is_in_no_table_does_not_exist_where_others_are_refused() -> None:
    program = compile(profile(rule("read")))
    assert verdict(program, 9999) == verdict(program, 0x40000000 + NUMBERS["read"]) == ENOSYS
    assert verdict(program, NUMBERS["write"]) == EPERM
    assert verdict(compile(profile(default="SCMP_ACT_ALLOW")), 9999) == ALLOW
    assert verdict(program, 0, architecture=0x40000003) == KILL_PROCESS


def test_an_unknown_call_that_shall_be_refused_is_not_let_through() -> None:
    denying = rule("read", "frobnicate2", action="SCMP_ACT_ERRNO")
    program = compile(profile(denying, default="SCMP_ACT_ALLOW"))
    assert verdict(program, NUMBERS["read"]) == EPERM
    assert verdict(program, NUMBERS["write"]) == ALLOW
    assert verdict(program, 9999) == ENOSYS


MODEL: dict[str, Callable[[int, int, int], bool]] = {
    "SCMP_CMP_NE": lambda argument, value, _: argument != value,
    "SCMP_CMP_LT": lambda argument, value, _: argument < value,
    "SCMP_CMP_LE": lambda argument, value, _: argument <= value,
    "SCMP_CMP_EQ": lambda argument, value, _: argument == value,
    "SCMP_CMP_GE": lambda argument, value, _: argument >= value,
    "SCMP_CMP_GT": lambda argument, value, _: argument > value,
    "SCMP_CMP_MASKED_EQ": lambda argument, mask, value: argument & mask == value & mask,
}
INTERESTING = st.sampled_from([0, 1, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1)
CONDITION = st.fixed_dictionaries(
    {"index": st.integers(0, 5), "op": st.sampled_from(sorted(MODEL)), "value": INTERESTING, "valueTwo": INTERESTING}
)
CONDITIONS = st.lists(CONDITION, min_size=1, max_size=4, unique_by=lambda one: one["index"])
ACTION = st.sampled_from(["SCMP_ACT_ALLOW", "SCMP_ACT_KILL", "SCMP_ACT_TRAP", "SCMP_ACT_ERRNO"])
ORDER = [KILL_THREAD, TRAP, EPERM, ALLOW]


@given(
    rules=st.lists(st.tuples(CONDITIONS, ACTION), min_size=1, max_size=5, unique_by=lambda pair: json.dumps(pair[0])),
    arguments=st.lists(INTERESTING, min_size=6, max_size=6),
    data=st.data(),
)
def test_conditions_hold_exactly_where_a_model_says_so(
    rules: list[tuple[list[dict[str, Any]], str]], arguments: list[int], data: st.DataObject
) -> None:
    for conditions, _ in rules:  # half of the time the argument is the very number, where most can go wrong
        for one in conditions:
            if data.draw(st.booleans()):
                arguments[one["index"]] = one["value"]
    program = compile(profile(*(rule("openat", action=action, args=conditions) for conditions, action in rules)))
    actions = {"SCMP_ACT_ALLOW": ALLOW, "SCMP_ACT_KILL": KILL_THREAD, "SCMP_ACT_TRAP": TRAP, "SCMP_ACT_ERRNO": EPERM}
    met = [
        actions[action]
        for conditions, action in rules
        if all(MODEL[one["op"]](arguments[one["index"]], one["value"], one["valueTwo"]) for one in conditions)
    ]
    met = [one for one in met if one != EPERM]  # what the default says does not count
    assert verdict(program, NUMBERS["openat"], *arguments) == min(met, key=ORDER.index, default=EPERM)
    assert verdict(program, NUMBERS["close"], *arguments) == EPERM


def test_a_refusal_under_conditions_stands_and_a_permission_under_conditions_does_not() -> None:
    """Where a rule without conditions is there too; in whatever order they come."""
    args = [{"index": 0, "value": 16, "op": "SCMP_CMP_EQ"}]
    for rules in ((rule("socket", action="SCMP_ACT_TRAP", args=args), rule("socket")),):
        for order in (rules, rules[::-1]):
            program = compile(profile(*order))
            assert [verdict(program, NUMBERS["socket"], family) for family in (16, 2)] == [TRAP, ALLOW]
    refusing = rule("socket", action="SCMP_ACT_TRAP")
    for order in ((refusing, rule("socket", args=args)), (rule("socket", args=args), refusing)):
        program = compile(profile(*order))
        assert [verdict(program, NUMBERS["socket"], family) for family in (16, 2)] == [TRAP, TRAP]


def test_of_rules_without_conditions_the_first_counts() -> None:
    kill, trap = rule("read", action="SCMP_ACT_KILL"), rule("read", action="SCMP_ACT_TRAP")
    assert verdict(compile(profile(kill, trap)), 0) == KILL_THREAD
    assert verdict(compile(profile(trap, kill)), 0) == TRAP
    assert verdict(compile(profile(rule("read", action="SCMP_ACT_ERRNO"), rule("read"))), 0) == ALLOW


def test_an_argument_named_twice_is_two_rules_as_with_runc() -> None:
    args = [{"index": 0, "value": value, "op": "SCMP_CMP_EQ"} for value in (8, 9)]
    program = compile(profile(rule("personality", args=args)))
    assert [verdict(program, NUMBERS["personality"], value) for value in (8, 9, 10)] == [ALLOW, ALLOW, EPERM]


def test_rules_for_other_machines_kernels_and_rights_do_not_count() -> None:
    text = profile(
        rule("mount", includes={"caps": ["CAP_SYS_ADMIN"]}),
        rule("umount2", excludes={"caps": ["CAP_SYS_ADMIN"]}),
        rule("read", includes={"arches": ["amd64", "arm64"]}),
        rule("write", includes={"arches": ["s390"]}),
        rule("close", excludes={"arches": ["amd64"]}),
        rule("openat", includes={"minKernel": "4.8"}),
        rule("chmod", includes={"minKernel": "99.0"}),
        rule("chown", excludes={"minKernel": "4.8"}),
    )
    wanted = {"umount2", "read", "openat"}
    names = ("mount", "umount2", "read", "write", "close", "openat", "chmod", "chown")
    program = compile(text)
    assert {name for name in names if verdict(program, NUMBERS[name]) == ALLOW} == wanted
    program = compile(text, frozenset({"SYS_ADMIN"}))
    assert {name for name in names if verdict(program, NUMBERS[name]) == ALLOW} == wanted - {"umount2"} | {"mount"}


MALFORMED = {
    "": "no JSON",
    "{": "no JSON",
    "[]": "no JSON object",
    "{}": "no defaultAction",
    "[" * 100_000: "nested|no JSON",
    json.dumps({"defaultAction": "SCMP_ACT_FLY"}): "unknown",
    json.dumps({"defaultAction": "SCMP_ACT_NOTIFY"}): "not supported",
    json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 5000}): "no error number",
    json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": {}}): "no list",
    json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscals": []}): "unknown key 'syscals'",
    json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["X"], "archMap": [{}]}): "one of them",
    json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "flags": ["SECCOMP_FILTER_FLAG_NEW_LISTENER"]}): "not supported",
    profile({"names": ["read"]}): "has no action",
    profile({"action": "SCMP_ACT_ALLOW"}): "names no system call",
    profile({"names": [3], "action": "SCMP_ACT_ALLOW"}): "names no system call",
    profile({"name": "read", "names": ["write"], "action": "SCMP_ACT_ALLOW"}): "one of them",
    profile("read"): "no JSON object",  # type: ignore[arg-type]
    profile(rule("read", action="ALLOW")): "unknown",
    profile(rule("read", args=[{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}])): "no argument 6",
    profile(rule("read", args=[{"index": 0, "value": -1, "op": "SCMP_CMP_EQ"}])): "numbers",
    profile(rule("read", args=[{"index": 0, "value": 2**64, "op": "SCMP_CMP_EQ"}])): "numbers",
    profile(rule("read", args=[{"index": 0, "value": 0, "op": "SCMP_CMP_ALMOST"}])): "unknown comparison",
    profile(rule("read", includes={"minKernel": "new"})): "no version",
    profile(rule("read", includes={"moon": ["full"]})): "unknown key",
}


@pytest.mark.parametrize(("text", "why"), MALFORMED.items())
def test_malformed(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        compile(text)


def test_ten_thousand_rules() -> None:
    """The same again and again is one; ten thousand different ones are more than the kernel takes, and are refused."""
    names = sorted(NUMBERS)
    many = [rule(names[place % len(names)]) for place in range(10_000)]
    program = compile(profile(*many))
    assert {verdict(program, number) for number in NUMBERS.values()} == {ALLOW}
    many = [rule("ioctl", args=[{"index": 1, "value": place, "op": "SCMP_CMP_EQ"}]) for place in range(10_000)]
    with pytest.raises(ValueError, match=f"more than the {LONGEST}"):
        compile(profile(*many))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["defaultAction", "syscalls", "names", "args", "action", "op"]), inner)
        ),
    )
)
def test_anything_is_a_filter_or_an_error(value: object) -> None:
    try:
        program = compile(json.dumps(value))
    except ValueError:
        return
    assert len(program) > 8


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_profile_that_others_ship(machine: str) -> None:
    """That of containers-common, where it is installed: what is a container's everyday life is allowed."""
    path = Path("/usr/share/containers/seccomp.json")
    if not path.exists():
        pytest.skip("golang-github-containers-common is not here")
    text = path.read_text()
    program = compiled(text, DEFAULT_CAPABILITIES, machine)
    architecture = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}[machine]
    numbers = table(machine)

    def of(name: str, *arguments: int) -> int:
        return verdict(program, numbers[name], *arguments, architecture=architecture)

    assert {of(name) for name in ("read", "openat", "execve", "futex", "fchownat", "personality")} == {ALLOW}
    assert {of(name) & 0xFFFF0000 for name in ("bpf", "kexec_load", "open_by_handle_at")} == {ERRNO}
    assert {of("socket", family) == ALLOW for family in (1, 2, 10)} == {True}
    more = compiled(text, DEFAULT_CAPABILITIES | {"SYS_ADMIN"}, machine)
    assert verdict(more, numbers["bpf"], architecture=architecture) == ALLOW

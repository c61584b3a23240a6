"""`linux.seccomp` of config.json as a filter."""

from runner.filters import OPERATORS, Comparison, Rule, action, assemble
from runner.oci.document import Node

FLAGS = frozenset({"SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"})
"""Flags without a meaning for a process of one thread that is about to execute; LOG only adds to the kernel's log."""


def program(seccomp: Node) -> bytes:
    """The filter. Raises BundleInvalid."""
    try:
        default = action(seccomp.text("defaultAction"), seccomp.number("defaultErrnoRet"))
    except ValueError as error:
        raise seccomp.fail("defaultAction", str(error)) from error
    for key in ("listenerPath", "listenerMetadata"):
        if seccomp.text(key):
            raise seccomp.fail(key, "a listener for notifications is not supported")
    unknown = set(seccomp.texts("flags")) - FLAGS
    if unknown:
        raise seccomp.fail("flags", f"{min(unknown)} is not supported")
    rules = []
    for syscall in seccomp.tables("syscalls"):
        names = tuple(syscall.texts("names"))
        if not names:
            raise syscall.fail("names", "is empty")
        try:
            word = action(syscall.text("action"), syscall.number("errnoRet"))
        except ValueError as error:
            raise syscall.fail("action", str(error)) from error
        if word != default:
            rules.append(Rule(names, word, tuple(map(_comparison, syscall.tables("args")))))
    try:
        return assemble(default, rules)
    except ValueError as error:
        raise seccomp.fail("syscalls", str(error)) from error


def _comparison(argument: Node) -> Comparison:
    index, operator = argument.number("index", high=5), argument.text("op")
    if index is None:
        raise argument.fail("index", "is missing")
    if operator not in OPERATORS:
        raise argument.fail("op", f"{operator!r} is no operator")
    return Comparison(index, operator, argument.number("value") or 0, argument.number("valueTwo") or 0)

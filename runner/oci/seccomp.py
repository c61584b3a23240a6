"""`linux.seccomp` of config.json as a filter: the rules of a profile, without what those choose by."""

import json

from runner.oci.document import Node
from runner.profile import compiled

FLAGS = frozenset({"SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"})
"""Flags without a meaning for a process of one thread that is about to execute; LOG only adds to the kernel's log."""
RULES = ("defaultAction", "defaultErrnoRet", "syscalls")


def program(seccomp: Node) -> bytes:
    """The filter. Raises BundleInvalid."""
    for key in ("listenerPath", "listenerMetadata"):
        if seccomp.text(key):
            raise seccomp.fail(key, "a listener for notifications is not supported")
    unknown = set(seccomp.texts("flags")) - FLAGS
    if unknown:
        raise seccomp.fail("flags", f"{min(unknown)} is not supported")
    try:
        return compiled(json.dumps({key: seccomp.value[key] for key in RULES if key in seccomp}), frozenset())
    except ValueError as error:
        raise seccomp.fail("syscalls", str(error)) from error

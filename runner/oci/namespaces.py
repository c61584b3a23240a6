"""The namespaces of a bundle: which are made, which are joined, and the maps of its users."""

import os
from contextlib import ExitStack
from pathlib import Path

from runner.ids import Range, lines, read, through, turned
from runner.linux import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWTIME,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    namespace_kind,
)
from runner.oci.document import Node
from runner.oci.errors import BundleInvalid
from runner.rootless import owner

NAMESPACES = {
    "pid": CLONE_NEWPID,
    "network": CLONE_NEWNET,
    "mount": CLONE_NEWNS,
    "ipc": CLONE_NEWIPC,
    "uts": CLONE_NEWUTS,
    "user": CLONE_NEWUSER,
    "cgroup": CLONE_NEWCGROUP,
    "time": CLONE_NEWTIME,
}


def wanted(config: Node) -> tuple[int, list[tuple[int, str]]]:
    """The kinds to make, and the kinds and paths of those to join. Raises BundleInvalid."""
    made, joined, seen = 0, [], set()
    for namespace in config.table("linux").tables("namespaces"):
        name, path = namespace.text("type"), namespace.text("path")
        if name not in NAMESPACES:
            raise namespace.fail("type", f"{name!r} is no namespace")
        if name in seen:
            raise namespace.fail("type", f"{name} is there twice")
        seen.add(name)
        if not path:
            made |= NAMESPACES[name]
        elif name == "mount":
            raise namespace.fail("path", "a mount namespace cannot be joined: the root would be another's")
        elif not path.startswith("/"):
            raise namespace.fail("path", f"must be an absolute path, not {path!r}")
        else:
            joined.append((NAMESPACES[name], path))
    return made, joined


def open_namespaces(joined: list[tuple[int, str]], undo: ExitStack) -> list[int]:
    """Descriptors of namespaces to join, each of the kind that it is said to be. Raises BundleInvalid."""
    found = []
    for kind, path in joined:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
            undo.callback(os.close, descriptor)
            if namespace_kind(descriptor) != kind:
                raise BundleInvalid("linux.namespaces", f"{path} is a namespace of another kind")
        except OSError as problem:
            raise BundleInvalid("linux.namespaces", f"{path}: {problem.strerror}".lower()) from problem
        found.append(descriptor)
    return found


def id_map(part: Node, key: str) -> bytes:
    """A map of ids as the kernel's file has it; empty if there is none. Raises BundleInvalid.

    What it calls the host's are the machine's numbers, also if we are in a user's own namespace.
    """
    ranges = []
    for one in part.tables(key):
        numbers = [one.number(name, high=2**32 - 1) for name in ("containerID", "hostID", "size")]
        if not numbers[2]:
            raise one.fail("size", "must be greater than zero")
        ranges.append(Range(*(number or 0 for number in numbers)))
    if owner() is None:
        return lines(ranges)
    try:
        return lines(through(tuple(ranges), turned(read(Path(f"/proc/self/{key[:3]}_map").read_text()))))
    except KeyError as problem:
        raise part.fail(key, f"number {problem.args[0]} of the host is not yours: see /etc/sub{key[:3]}") from problem

"""What is executed, and as whom: the part of a job that a sandbox and a further command in one have in common."""

import os
import stat
from collections.abc import Sequence
from contextlib import suppress

from runner import ulimits
from runner.capabilities import mask
from runner.errors import SandboxUnavailable
from runner.filters import USUAL
from runner.ids import Ids, here
from runner.sandbox import DEFAULT_CAPABILITIES, Identity, Sandbox
from runner.syscalls import MACHINE

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def command(sandbox: Sandbox, capabilities: frozenset[str], ids: Ids, *, tty: bool) -> dict[str, object]:
    """The fields of a Job that say so. The program is searched in the PATH of its own environment, as execvp(3) would.
    `ids`: the numbers of its user namespace.

    Raises LimitUnavailable.
    """
    env = {os.fsencode(key): os.fsencode(value) for key, value in sandbox.env.items()}
    name = os.fsencode(sandbox.args[0])
    if b"/" in name:
        candidates = [name]
    else:
        path = env.get(b"PATH", DEFAULT_PATH.encode())
        candidates = [(folder or b".") + b"/" + name for folder in path.split(b":")]
    return {
        "args": [os.fsencode(word) for word in sandbox.args],
        "candidates": candidates,
        "env": env,
        "cwd": os.fsencode(sandbox.cwd),
        "uid": sandbox.identity.uid,
        "gid": sandbox.identity.gid,
        "groups": _groups(sandbox.identity, ids),
        "ulimits": ulimits.orders(sandbox.limits.ulimits),
        "tty": tty,
        "capabilities": mask(capabilities),
        "filter": _filter(sandbox, capabilities),
        "no_new_privileges": sandbox.no_new_privileges,
    }


def _groups(identity: Identity, ids: Ids) -> list[int]:
    """Its further groups; of those that are only mentioned, the ones that are there."""
    return [*identity.groups, *(one for one in identity.mentioned if one not in identity.groups and _is_here(ids, one))]


def _is_here(ids: Ids, group: int) -> bool:
    try:
        here(*ids.outside(0, group))
    except KeyError:
        return False
    return True


def _filter(sandbox: Sandbox, capabilities: frozenset[str]) -> bytes:
    """The system-call filter, empty for none."""
    if not sandbox.seccomp:
        return b""
    if sandbox.filter is not None:
        return sandbox.filter
    if capabilities == DEFAULT_CAPABILITIES and not sandbox.i386 and MACHINE in USUAL:
        return USUAL[MACHINE]
    from runner import seccomp

    return seccomp.of_386(capabilities) if sandbox.i386 else seccomp.program(capabilities)


def give(streams: Sequence[int], identity: Identity, ids: Ids) -> None:
    """Let the command open its pipes again, as /dev/stderr.

    Raises SandboxUnavailable if its user, or a group of theirs, is nobody here.
    """
    try:
        for group in identity.groups:
            here(*ids.outside(identity.uid, group))
        uid, gid = ids.outside(identity.uid, identity.gid)
        here(uid, gid)
    except KeyError as problem:
        fix = "choose another, or map more (--uidmap, --gidmap, /etc/subuid, /etc/subgid)"
        raise SandboxUnavailable(problem.args[0], fix) from None
    for stream in streams:
        if stat.S_ISFIFO(os.fstat(stream).st_mode):
            with suppress(PermissionError):
                os.fchown(stream, uid, gid)

"""Sets of capabilities: what this process can give, and what moby makes of --cap-add and --cap-drop."""

from collections.abc import Iterable
from functools import cache

from runner.errors import SandboxUnavailable
from runner.files import text
from runner.sandbox import CAPABILITIES, DEFAULT_CAPABILITIES

ALL = "ALL"


def bounds(pid: int | str) -> frozenset[str]:
    """The capabilities that a process and its children can ever have."""
    for line in text(f"/proc/{pid}/status").splitlines():
        if line.startswith("CapBnd:"):
            mask = int(line.split()[1], 16)
            return frozenset(name for name, bit in CAPABILITIES.items() if mask >> bit & 1)
    return frozenset()


@cache
def held() -> frozenset[str]:
    """Those that we can give at most."""
    return bounds("self")


def granted(asked: frozenset[str]) -> frozenset[str]:
    """What is given of those: the usual ones that we have, and all that were asked for besides.

    Raises SandboxUnavailable if we lack one of the latter.
    """
    missing = asked - held()
    if lacking := sorted(missing - DEFAULT_CAPABILITIES):
        what = f"this process has not the capability {lacking[0]} itself, so it cannot give it"
        raise SandboxUnavailable(what, f"leave {lacking[0]} out, or start pybuild with it")
    return asked - missing


def mask(names: Iterable[str]) -> int:
    """Them as the kernel's bits."""
    return sum(1 << CAPABILITIES[name] for name in names)


def tweaked(add: Iterable[str], drop: Iterable[str]) -> frozenset[str]:
    """The usual set, changed as moby changes it. Raises ValueError for unknown names.

    ALL added is all that we have, less what is dropped; ALL dropped leaves what is added; else what is dropped
    goes first and what is added comes then.
    """
    added, dropped = {known(word) for word in add}, {known(word) for word in drop}
    if ALL in added:
        return (held() | added - {ALL}) - dropped
    if ALL in dropped:
        return frozenset(added)
    return (DEFAULT_CAPABILITIES - dropped) | added


def known(word: str) -> str:
    """A capability's name without CAP_, or ALL. Raises ValueError."""
    name = word.upper().removeprefix("CAP_")
    if name != ALL and name not in CAPABILITIES:
        from difflib import get_close_matches

        near = get_close_matches(name, CAPABILITIES, 1)
        raise ValueError(f"unknown capability {word!r}" + (f"; did you mean {near[0]}?" if near else ""))
    return name

"""Limits of a single process (setrlimit(2)), by docker's names."""

from collections.abc import Collection
from pathlib import Path

from runner.errors import LimitUnavailable
from runner.owners import nested

NAMES = (
    *("core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice"),
    *("nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack"),
)
LOCKS = 10
"""RLIMIT_LOCKS, that Linux keeps and no longer minds."""
SYS_RESOURCE = 24


def parse(text: str) -> tuple[str, int, int]:
    """`name=soft[:hard]`, -1 for no limit. Raises ValueError."""
    name, _, rest = text.partition("=")
    soft, colon, hard = rest.partition(":")
    if name not in NAMES:
        raise ValueError(f"{text!r}: {name!r} is no ulimit; there are {', '.join(NAMES)}")
    try:
        low = int(soft)
        high = int(hard) if colon else low
    except ValueError:
        raise ValueError(f"{text!r}: write NAME=SOFT or NAME=SOFT:HARD, with numbers") from None
    if min(low, high) < -1:
        raise ValueError(f"{text!r}: a limit is a number from 0 on, or -1 for none")
    if high != -1 and (low == -1 or low > high):
        raise ValueError(f"{text!r}: the soft limit cannot be more than the hard one")
    return name, low, high


def orders(ulimits: Collection[tuple[str, int, int]]) -> list[tuple[int, int, int]]:
    """What a job says of them: (resource, soft, hard). Raises LimitUnavailable for what this process cannot grant."""
    if not ulimits:
        return []
    import resource

    numbers = {name: getattr(resource, f"RLIMIT_{name.upper()}", LOCKS) for name in NAMES}
    told = []
    for name, soft, hard in ulimits:
        number = numbers[name]
        most = resource.getrlimit(number)[1]
        above = most != resource.RLIM_INFINITY and (hard == -1 or hard > most)
        if above and not _may_raise():
            raise LimitUnavailable(
                f"ulimit {name}={hard}", "", f"is more than the {most} that this process has itself",
                "ask for less, or start pybuild with a higher limit or CAP_SYS_RESOURCE",
            )  # fmt: skip
        ceiling = _ceiling(name)
        if ceiling is not None and (hard == -1 or hard > ceiling):
            raise LimitUnavailable(
                f"ulimit {name}={hard}", "", f"is more than this kernel gives anybody ({ceiling}, fs.nr_open)",
                "ask for less, or raise the sysctl fs.nr_open",
            )  # fmt: skip
        told.append((number, soft, hard))
    return told


def check_score(adjustment: int | None) -> None:
    """Whether a process may get this oom_score_adj. Raises LimitUnavailable: below our own only with the right to."""
    if adjustment is None:
        return
    own = int(Path("/proc/self/oom_score_adj").read_text())
    if adjustment < own and not _may_raise():
        raise LimitUnavailable(
            f"oom_score_adj to {adjustment}", "", f"is less than the {own} that this process has itself",
            "ask for more, or start pybuild with CAP_SYS_RESOURCE",
        )  # fmt: skip


def _ceiling(name: str) -> int | None:
    return int(Path("/proc/sys/fs/nr_open").read_text()) if name == "nofile" else None


def _may_raise() -> bool:
    if nested():  # the kernel wants the right of the machine's root
        return False
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> SYS_RESOURCE & 1)
    return False

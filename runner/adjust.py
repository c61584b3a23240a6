"""Other limits for a sandbox that runs already: `update`."""

import errno
from collections.abc import Callable, Iterable

from layers.quick import replace
from runner import ceilings
from runner.cgroups import Cgroup
from runner.errors import LimitUnavailable
from runner.limits import Limits

NONE = {
    "memory.limit_in_bytes": "-1",
    "memory.memsw.limit_in_bytes": "-1",
    "memory.soft_limit_in_bytes": "-1",
    "cpu.cfs_quota_us": "-1",
    "cpu.cfs_period_us": str(ceilings.CPU_PERIOD),
    "cpu.shares": "1024",
    "memory.max": "max",
    "memory.high": "max",
    "memory.oom_control": "0",
    "memory.swap.max": "max",
    "memory.low": "0",
    "cpu.max": f"max {ceilings.CPU_PERIOD}",
    "cpu.weight": "100",
    "pids.max": "max",
}
"""What each file says where there is no limit."""


def adjust(group: Cgroup | None, old: Limits, new: Limits) -> None:
    """Change what differs between two sets of limits. Raises LimitUnavailable; what was changed until then stays."""
    for words in (ceilings.legacy, ceilings.unified):
        changes = _changes(list(words(old)), list(words(new)))
        if not changes:
            continue
        if group is None:
            raise LimitUnavailable(changes[0].limit, changes[0].controller, "is not there for this process")
        _set(group, [one for one in changes if _belongs(group, one, words is ceilings.legacy)])


def _changes(old: list[ceilings.Setting], new: list[ceilings.Setting]) -> list[ceilings.Setting]:
    there = {one.file: one.value for one in old}
    wanted = {one.file for one in new}
    gone = [replace(one, value=_nothing(one)) for one in old if one.file not in wanted]
    return [*gone, *(one for one in new if there.get(one.file) != one.value)]


def _nothing(setting: ceilings.Setting) -> str:
    try:
        return NONE[setting.file]
    except KeyError:
        raise LimitUnavailable(
            setting.limit, setting.controller, "cannot be taken back while it runs", "choose a value, or start it anew"
        ) from None


def _belongs(group: Cgroup, setting: ceilings.Setting, legacy: bool) -> bool:
    """Whether a line is for the version that has its controller here; the group grows into a controller it lacks."""
    if setting.controller not in group.legacy and legacy:
        group.extend(setting.controller)
    return (setting.controller in group.legacy) == legacy


def _set(group: Cgroup, settings: Iterable[ceilings.Setting]) -> None:
    """Write them; memory and its sum with swap want one order when they grow, the other when they shrink."""
    later: list[ceilings.Setting] = []
    for setting in settings:
        if not _tried(lambda one=setting: group.put(one)):  # type: ignore[misc]
            later.append(setting)
    for setting in later:
        group.put(setting)


def _tried(action: Callable[[], None]) -> bool:
    try:
        action()
    except LimitUnavailable as problem:
        cause = problem.__cause__
        if isinstance(cause, OSError) and cause.errno in (errno.EINVAL, errno.EBUSY):
            return False
        raise
    return True

"""The limits that `build`, `run` and `create` share, by docker's names, and the value they come to."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Mapping

from pybuild.declared import click
from pybuild.options import together

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from typing import Any

    from runner import Limits


def typed(read: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """A reader of one value whose ValueError is the message."""

    def convert(_: click.Context, parameter: click.Parameter, text: str | None) -> Any:
        if text is None:
            return None
        try:
            return read(text)
        except ValueError as error:
            raise click.BadParameter(str(error), param=parameter) from error

    return convert


class ValueRefused(ValueError):
    """A value of a flag that cannot be: the flag as it was written, and why."""

    def __init__(self, flag: str, why: str) -> None:
        super().__init__(f"{flag}: {why}")


def whole(text: str) -> int:
    """A number, decimal or 0x…. Raises ValueError."""
    try:
        return int(text, 0)
    except ValueError:
        raise ValueError(f"{text!r} is no number") from None


def sized(text: str) -> int:
    """A number of bytes, as `512m`. Raises ValueError."""
    from pybuild.units import parse_size

    return parse_size(text)


SIZE = typed(sized)
BYTES, NUMBER, LIST = "BYTES", "NUMBER", "LIST"
RATES: Mapping[str, tuple[str, bool]] = {  # option: word of io.max, whether its number is a size
    "device_read_bps": ("rbps", True),
    "device_write_bps": ("wbps", True),
    "device_read_iops": ("riops", False),
    "device_write_iops": ("wiops", False),
}

OPTIONS = (
    click.option("-m", "--memory", callback=SIZE, metavar=BYTES, help="Most memory, as in 512m."),
    click.option("--memory-swap", metavar=BYTES, help="Memory and swap together; -1 for no limit on swap."),
    click.option("--memory-reservation", callback=SIZE, metavar=BYTES, help="A soft limit."),
    click.option("--memory-high", callback=SIZE, metavar=BYTES, help="From here on it is slowed down (cgroup v2)."),
    click.option("--memory-swappiness", type=int, metavar="0-100", help="How gladly it is swapped out (cgroup v1)."),
    click.option("--oom-kill-disable", is_flag=True, help="Out of memory it waits, and is not killed (cgroup v1)."),
    click.option("--oom-score-adj", type=int, metavar=NUMBER, help="How gladly the kernel kills it (-1000 to 1000)."),
    click.option("--cpus", type=float, metavar=NUMBER, help="Processors' worth of time, as in 1.5."),
    click.option("--cpu-quota", type=int, metavar=NUMBER, help="Microseconds of processor time in each period."),
    click.option("--cpu-period", type=int, metavar=NUMBER, help="Length of that period (100000)."),
    click.option("-c", "--cpu-shares", type=int, metavar=NUMBER, help="Relative weight (1024 is usual)."),
    click.option("--cpuset-cpus", metavar=LIST, help="Processors that may be used, as in 0-2,4."),
    click.option("--cpuset-mems", metavar=LIST, help="Memory nodes that may be used, as in 0,1."),
    click.option("--pids-limit", type=int, metavar=NUMBER, help="Most processes and threads."),
    click.option("--blkio-weight", type=int, metavar="10-1000", help="Relative share of the disks (500 is usual)."),
    click.option("--blkio-weight-device", multiple=True, metavar="DEVICE:WEIGHT", help="The same, of one disk."),
    click.option("--device-read-bps", multiple=True, metavar="DEVICE:RATE", help="Most bytes a second, as in 10mb."),
    click.option("--device-write-bps", multiple=True, metavar="DEVICE:RATE", help="Most bytes a second."),
    click.option("--device-read-iops", multiple=True, metavar="DEVICE:RATE", help="Most reads a second."),
    click.option("--device-write-iops", multiple=True, metavar="DEVICE:RATE", help="Most writes a second."),
    click.option("--net-classid", metavar=NUMBER, help="The mark of its packets, as in 0x100001 (cgroup v1)."),
    click.option("--ulimit", "ulimits", multiple=True, metavar="NAME=SOFT[:HARD]", help="A limit of each process."),
    click.option("--shm-size", callback=SIZE, metavar=BYTES, help="Size of /dev/shm (64m)."),
)

LEAST = 6 << 20
"""Bytes of memory without which no command starts, as docker has it."""
limited = together(*OPTIONS)
"""Adds the options to a command."""


def limits(options: Mapping[str, Any], **more: Any) -> Limits:
    """The options as one value; `more` are limits that only some commands know. Raises ValueError."""
    from runner import Limits
    from runner.ulimits import parse

    swap, classid = options["memory_swap"], options["net_classid"]
    rates = [
        (word, *on_device(name, text, sized if in_bytes else whole))
        for name, (word, in_bytes) in RATES.items()
        for text in options[name]
    ]
    names = (
        "memory memory_reservation memory_high memory_swappiness oom_kill_disable oom_score_adj cpus cpu_quota "
        "cpu_period cpu_shares cpuset_cpus cpuset_mems"
    ).split()
    chosen = {name: options[name] for name in names}
    for name, none in (("memory", 0), ("cpus", 0), ("cpu_shares", 0), ("cpu_period", 0), ("memory_swappiness", -1)):
        if chosen[name] == none:  # docker's words for "as it is"
            chosen[name] = None
    if chosen["cpu_quota"] in (0, -1):
        chosen["cpu_quota"] = None
    possible(chosen)
    return Limits(
        **chosen,
        memory_swap=None if swap in (None, "0") else -1 if swap == "-1" else sized(swap),
        pids=None if options["pids_limit"] in (None, 0, -1) else options["pids_limit"],
        blkio_weight=options["blkio_weight"] or None,
        blkio_weight_devices=tuple(
            on_device("blkio_weight_device", text, whole) for text in options["blkio_weight_device"]
        ),
        device_rates=tuple(rates),
        net_classid=None if classid is None else whole(classid),
        ulimits=last(parse(text) for text in options["ulimits"]),
        **more,
    )


def possible(words: Mapping[str, Any]) -> None:
    """See that a command can start with these, on this machine. Raises ValueError."""
    memory, cpus, there = words.get("memory"), words.get("cpus"), os.cpu_count() or 1
    if memory is not None and memory < LEAST:
        raise ValueRefused(f"--memory {memory}", "less than 6m is not enough for a command to start")
    if cpus is not None and not 0.01 <= cpus <= there:
        raise ValueRefused(f"--cpus {cpus:g}", f"this machine has {there}: give 0.01 to {there}")


def last(ulimits: Iterable[tuple[str, int, int]]) -> tuple[tuple[str, int, int], ...]:
    """Of several limits of one name the last counts."""
    return tuple({ulimit[0]: ulimit for ulimit in ulimits}.values())


def on_device(option: str, text: str, read: Callable[[str], int]) -> tuple[str, int]:
    """`/dev/sda:10mb` as ("8:0", bytes). Raises ValueError."""
    flag = f"--{option.replace('_', '-')} {text}"
    path, colon, value = text.rpartition(":")
    if not colon:
        raise ValueRefused(flag, "write DEVICE:VALUE, for example /dev/sda:100")
    try:
        found = os.stat(path)
    except OSError as error:
        raise ValueRefused(flag, f"{path}: {error.strerror}") from None
    if not stat.S_ISBLK(found.st_mode):
        raise ValueRefused(flag, f"{path} is no block device")
    number = f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
    try:
        return number, read(value)
    except ValueError as error:
        raise ValueRefused(flag, str(error)) from None

"""`pybuild update`: other limits for containers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from layers.quick import replace
from pybuild import units
from pybuild.limiting import SIZE, possible
from pybuild.wiring import Context

if TYPE_CHECKING:
    from runner import Limits


@click.command(epilog="\b\nExamples:\n  pybuild update -m 512m --cpus 1.5 web\n  pybuild update --restart always web")
@click.argument("containers", nargs=-1, required=True, metavar="CONTAINER...")
@click.option("-m", "--memory", callback=SIZE, metavar="BYTES", help="Most memory, as in 512m.")
@click.option("--memory-swap", metavar="BYTES", help="Memory and swap together; -1 for no limit on swap.")
@click.option("--memory-reservation", callback=SIZE, metavar="BYTES", help="A soft limit.")
@click.option("--cpus", type=float, metavar="NUMBER", help="Processors' worth of time; 0 for no limit.")
@click.option("--cpu-quota", type=int, metavar="NUMBER", help="Microseconds of processor time in each period.")
@click.option("--cpu-period", type=int, metavar="NUMBER", help="Length of that period.")
@click.option("--blkio-weight", type=int, metavar="10-1000", help="Relative share of the disks.")
@click.option("-c", "--cpu-shares", type=int, metavar="NUMBER", help="Relative weight (1024 is usual).")
@click.option("--cpuset-cpus", metavar="LIST", help="Processors that may be used, as in 0-2,4.")
@click.option("--cpuset-mems", metavar="LIST", help="Memory nodes that may be used.")
@click.option("--pids-limit", type=int, metavar="NUMBER", help="Most processes and threads; -1 for no limit.")
@click.option("--restart", metavar="POLICY", help="no, on-failure[:N], always or unless-stopped.")
@click.pass_obj
def update(context: Context, /, containers: Sequence[str], restart: str | None, **given: Any) -> int:
    """Change limits and restart policy of containers: at once if they run, and for their next starts."""
    from builder.containers import Containers
    from builder.containers.control import order
    from builder.containers.restart import RestartPolicy
    from builder.containers.state import LIVE
    from builder.containers.telling import tell
    from pybuild.several import each

    if restart is None and all(value is None for value in given.values()):
        raise click.UsageError("say what to change: there is nothing to update")
    try:
        policy = None if restart is None else RestartPolicy.parse(restart)
    except ValueError as error:
        raise click.UsageError(f"--restart: {error}") from error
    book = Containers(context.store)

    def one(name: str) -> None:
        found = book.get(name)
        settings = found.settings
        limits, wanted = changed(settings.limits, given), policy or settings.restart
        if policy is not None and policy.name != "no" and settings.remove:
            raise click.UsageError(f"{found.name} was started with --rm: what is removed cannot be restarted")
        fresh = found.change(limits=limits, restart=wanted)
        if fresh.state().status in LIVE:
            order(fresh, "updated")
        tell(fresh.folder, fresh.settings, "update")

    return each(containers, one)


def changed(limits: Limits, given: dict[str, Any]) -> Limits:
    """Limits with what was given. Raises click.UsageError for what cannot be."""
    words: dict[str, Any] = {key: value for key, value in given.items() if value is not None and key != "pids_limit"}
    try:
        if (swap := given["memory_swap"]) is not None:
            words["memory_swap"] = -1 if swap == "-1" else units.parse_size(swap)
        if (pids := given["pids_limit"]) is not None:
            words["pids"] = None if pids in (0, -1) else pids
        if given["cpus"] == 0:
            words["cpus"] = None
        possible(words)
        return replace(limits, **words)
    except ValueError as error:
        raise click.UsageError(str(error)) from error

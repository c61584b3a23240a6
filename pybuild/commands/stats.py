"""`pybuild stats`: what containers use."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from pybuild import units
from pybuild.formats.table import emit
from pybuild.wiring import Context

if TYPE_CHECKING:
    from builder.containers import Container
    from runner.meters import Reading

COLUMNS = {
    "Container": "CONTAINER ID",
    "Name": "NAME",
    "CPUPerc": "CPU %",
    "MemUsage": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %",
    "NetIO": "NET I/O",
    "BlockIO": "BLOCK I/O",
    "PIDs": "PIDS",
}
PAUSE = 1.0
"""Seconds between two readings."""
CLEAR = "\033[2J\033[H"


@click.command(epilog="\b\nExamples:\n  pybuild stats\n  pybuild stats --no-stream --format json web")
@click.argument("containers", nargs=-1, metavar="[CONTAINER...]")
@click.option("-a", "--all", "everything", is_flag=True, help="Also those that do not run.")
@click.option("--no-stream", is_flag=True, help="Once, not again and again.")
@click.option("--no-trunc", is_flag=True, help="Whole ids.")
@click.option("--format", "template", metavar="TEMPLATE", help="A Go template, 'table TEMPLATE' or json.")
@click.pass_obj
def stats(
    context: Context,
    containers: Sequence[str],
    everything: bool,
    no_stream: bool,
    no_trunc: bool,
    template: str | None,
) -> None:
    """Show processor time, memory, traffic and processes of running containers, until interrupted."""
    from builder.containers import Containers
    from builder.containers.state import ACTIVE

    book = Containers(context.store)
    asked = [book.get(name) for name in containers]
    before: dict[str, tuple[float, Reading]] = {}
    with suppress(KeyboardInterrupt):
        for one in asked or book.list():
            taken(one, before)
        while True:
            time.sleep(PAUSE)
            shown = asked or [one for one in book.list() if everything or one.state().status in ACTIVE]
            rows = [row(one, before, whole=no_trunc) for one in shown]
            if not no_stream and sys.stdout.isatty():
                click.echo(CLEAR, nl=False)
            emit(rows, COLUMNS, template)
            sys.stdout.flush()
            if no_stream:
                return


def taken(container: Container, before: dict[str, tuple[float, Reading]]) -> tuple[float, Reading] | None:
    """A new reading of a container, and the last one forgotten; None unless it runs."""
    from builder.containers.state import ACTIVE
    from runner.cgroups import group_of
    from runner.meters import estimate, measure

    state = container.state()
    if state.status not in ACTIVE:
        before.pop(container.id, None)
        return None
    group = group_of(state.pid)
    reading = estimate(state.pid) if group is None else measure(group, state.pid)
    before[container.id] = found = (time.monotonic(), reading)
    return found


def row(container: Container, before: dict[str, tuple[float, Reading]], *, whole: bool) -> dict[str, Any]:
    """A row of the table: docker's zeros where nothing runs."""
    last = before.get(container.id)
    now = taken(container, before)
    identity = container.id if whole else container.id[:12]
    names = {"Container": identity, "ID": identity, "Name": container.name}
    if now is None:
        nothing = dict.fromkeys(("MemUsage", "NetIO", "BlockIO"), "0B / 0B")
        return names | nothing | dict.fromkeys(("CPUPerc", "MemPerc"), "0.00%") | {"PIDs": "0"}
    moment, reading = now
    share = 0.0
    if last is not None and moment > last[0]:
        share = max(reading.cpu_seconds - last[1].cpu_seconds, 0) / (moment - last[0]) * 100
    return names | {
        "CPUPerc": f"{share:.2f}%",
        "MemUsage": f"{units.binary(reading.memory)} / {units.binary(reading.limit)}",
        "MemPerc": f"{reading.memory / reading.limit * 100 if reading.limit else 0:.2f}%",
        "NetIO": f"{units.size(reading.received)} / {units.size(reading.sent)}",
        "BlockIO": f"{units.size(reading.read)} / {units.size(reading.written)}",
        "PIDs": str(reading.pids),
    }

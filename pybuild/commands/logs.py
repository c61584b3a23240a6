"""`pybuild logs`: what a container wrote."""

from __future__ import annotations

import os
from contextlib import suppress

import click

from pybuild.wiring import Context


@click.command(epilog="\b\nExamples:\n  pybuild logs crashed\n  pybuild logs -f --tail 20 web")
@click.argument("container")
@click.option("-f", "--follow", is_flag=True, help="Go on while it runs.")
@click.option("-n", "--tail", default="all", metavar="LINES", help="Only the last lines.")
@click.option("-t", "--timestamps", is_flag=True, help="The time before each line.")
@click.pass_obj
def logs(context: Context, container: str, follow: bool, tail: str, timestamps: bool) -> None:
    """Show the output of CONTAINER; what it wrote to stderr goes to stderr."""
    from builder.containers import Containers, journal
    from builder.containers.book import LIVE

    if tail != "all" and not tail.isdigit():
        raise click.UsageError(f"--tail {tail!r} is no number of lines")
    count = None if tail == "all" else int(tail)
    found = Containers(context.store).get(container)
    if follow and found.log.exists():
        records = journal.follow(found.log, lambda: found.state().status in LIVE, tail=count)
    else:
        records = iter(journal.read(found.log, tail=count))
    with suppress(KeyboardInterrupt):
        for record in records:
            data = f"{record.time} ".encode() + record.data if timestamps else record.data
            os.write(1 if record.stream == "stdout" else 2, data)

"""`pybuild logs`: what a container wrote."""

from __future__ import annotations

import os
from contextlib import suppress

import click

from pybuild import units
from pybuild.wiring import Context


@click.command(
    epilog="\b\nExamples:\n  pybuild logs crashed\n  pybuild logs -f --tail 20 web\n  pybuild logs --since 10m web"
)
@click.argument("container")
@click.option("-f", "--follow", is_flag=True, help="Go on while it runs.")
@click.option("-n", "--tail", default="all", metavar="LINES", help="Only the last lines.")
@click.option("-t", "--timestamps", is_flag=True, help="The time before each line.")
@click.option("--since", metavar="MOMENT", help="Only what was written after it, as in 10m or 2026-01-31T12:00:00Z.")
@click.option("--until", metavar="MOMENT", help="Only what was written before it.")
@click.option("--details", is_flag=True, help="What --log-opt says of each line: nothing is known here but the line.")
@click.pass_obj
def logs(
    context: Context,
    container: str,
    follow: bool,
    tail: str,
    timestamps: bool,
    since: str | None,
    until: str | None,
    details: bool,
) -> None:
    """Show the output of CONTAINER; what it wrote to stderr goes to stderr."""
    from builder.containers import ContainerError, Containers, journal
    from builder.containers.state import LIVE

    number = tail.removeprefix("-")
    if tail != "all" and not number.isdecimal():
        raise click.UsageError(f"--tail {tail!r} is no number of lines")
    count = int(number) if tail == number != "all" else None  # less than none means all, as docker has it
    wanted = journal.Range(count, moment("--since", since), moment("--until", until))
    found = Containers(context.store).get(container)
    if found.settings.log_driver == "none":
        raise ContainerError(f"container {found.name}: nothing was kept of its output (--log-driver none)")
    if follow:
        records = journal.follow(found.log, lambda: found.state().status in LIVE, wanted)
    else:
        records = iter(journal.read(found.log, wanted))
    with suppress(KeyboardInterrupt):
        for record in records:
            data = f"{record.time if timestamps else ''} ".encode() if timestamps or details else b""
            data += record.data
            os.write(1 if record.stream == "stdout" else 2, data)


def moment(flag: str, text: str | None) -> float | None:
    """Seconds since the epoch. Raises click.UsageError."""
    try:
        return None if text is None else units.parse_moment(text)
    except ValueError as error:
        raise click.UsageError(f"{flag}: {error}") from error

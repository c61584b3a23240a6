"""`pybuild kill`: send a signal."""

from __future__ import annotations

from collections.abc import Sequence

import click

from pybuild.wiring import Context


@click.command(epilog="\b\nExamples:\n  pybuild kill web\n  pybuild kill -s HUP web")
@click.argument("containers", nargs=-1, required=True, metavar="CONTAINER...")
@click.option("-s", "--signal", "name", default="KILL", metavar="SIGNAL", help="Name or number (KILL).")
@click.pass_obj
def kill(context: Context, containers: Sequence[str], name: str) -> None:
    """Send a signal to the first process of running containers."""
    from builder.containers import Containers
    from builder.containers.control import number_of, send

    try:
        number = number_of(name)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    for container in containers:
        send(Containers(context.store).get(container), number)
        click.echo(container)

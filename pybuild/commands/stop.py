"""`pybuild stop`: end containers, gently first."""

from __future__ import annotations

from collections.abc import Sequence

import click

from pybuild.wiring import Context


@click.command(epilog="\b\nExample:\n  pybuild stop -t 3 web")
@click.argument("containers", nargs=-1, required=True, metavar="CONTAINER...")
@click.option("-t", "--time", "--timeout", "grace", type=float, default=10.0, metavar="SECONDS", help="Patience (10).")
@click.pass_obj
def stop(context: Context, containers: Sequence[str], grace: float) -> None:
    """Send the stop signal, wait, and kill what is still there."""
    from builder.containers import Containers
    from builder.containers.control import stop as end

    for name in containers:
        end(Containers(context.store).get(name), grace=grace)
        click.echo(name)

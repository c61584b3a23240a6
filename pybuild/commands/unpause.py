"""`pybuild unpause`: let paused containers go on."""

from __future__ import annotations

from collections.abc import Sequence

import click

from pybuild.several import EVERY
from pybuild.wiring import Context


@click.command(epilog="\b\nExample:\n  pybuild unpause web")
@click.argument("containers", nargs=-1, metavar="CONTAINER...")
@EVERY
@click.pass_obj
def unpause(context: Context, containers: Sequence[str], everything: bool) -> int:
    """Let every process of paused containers go on."""
    from builder.containers import Containers, Status
    from builder.containers.control import order
    from pybuild.several import chosen, each

    book = Containers(context.store)
    containers = chosen(book, containers, everything, {Status.PAUSED})
    return each(containers, lambda name: order(book.get(name), "unpause"))

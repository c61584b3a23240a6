"""`pybuild pause`: stop containers where they stand."""

from __future__ import annotations

from collections.abc import Sequence

import click

from pybuild.several import EVERY
from pybuild.wiring import Context


@click.command(epilog="\b\nExample:\n  pybuild pause web")
@click.argument("containers", nargs=-1, metavar="CONTAINER...")
@EVERY
@click.pass_obj
def pause(context: Context, containers: Sequence[str], everything: bool) -> int:
    """Freeze every process of running containers; they keep their memory."""
    from builder.containers import Containers, Status
    from builder.containers.control import order
    from pybuild.several import chosen, each

    book = Containers(context.store)
    containers = chosen(book, containers, everything, {Status.RUNNING})
    return each(containers, lambda name: order(book.get(name), "pause"))

"""`pybuild unpause`: let paused containers go on."""

from __future__ import annotations

from collections.abc import Sequence

import click

from pybuild.wiring import Context


@click.command(epilog="\b\nExample:\n  pybuild unpause web")
@click.argument("containers", nargs=-1, required=True, metavar="CONTAINER...")
@click.pass_obj
def unpause(context: Context, containers: Sequence[str]) -> int:
    """Let every process of paused containers go on."""
    from builder.containers import Containers
    from builder.containers.control import order
    from pybuild.several import each

    book = Containers(context.store)
    return each(containers, lambda name: order(book.get(name), "unpause"))

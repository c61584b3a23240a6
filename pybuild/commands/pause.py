"""`pybuild pause`: stop containers where they stand."""

from __future__ import annotations

from collections.abc import Sequence

import click

from pybuild.wiring import Context


@click.command(epilog="\b\nExample:\n  pybuild pause web")
@click.argument("containers", nargs=-1, required=True, metavar="CONTAINER...")
@click.pass_obj
def pause(context: Context, containers: Sequence[str]) -> int:
    """Freeze every process of running containers; they keep their memory."""
    from builder.containers import Containers
    from builder.containers.control import order
    from pybuild.several import each

    book = Containers(context.store)
    return each(containers, lambda name: order(book.get(name), "pause"))

"""`pybuild stop`: end containers, gently first."""

from __future__ import annotations

from collections.abc import Sequence

import click

from pybuild.lifecycle import stopping
from pybuild.several import EVERY
from pybuild.wiring import Context


@click.command(epilog="\b\nExample:\n  pybuild stop -t 3 web")
@click.argument("containers", nargs=-1, metavar="CONTAINER...")
@EVERY
@stopping
@click.pass_obj
def stop(context: Context, containers: Sequence[str], everything: bool, grace: float | None, name: str | None) -> int:
    """Send the stop signal, wait, and kill what is still there."""
    from builder.containers import Containers
    from builder.containers.control import stop as end
    from builder.containers.state import LIVE
    from pybuild.several import chosen, each, signal_number

    number = signal_number(name)
    book = Containers(context.store)
    containers = chosen(book, containers, everything, LIVE)
    return each(containers, lambda one: end(book.get(one), grace=grace, number=number))

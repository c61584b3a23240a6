"""`pybuild kill`: send a signal."""

from __future__ import annotations

import signal
from collections.abc import Sequence

import click

from pybuild.several import EVERY
from pybuild.wiring import Context


@click.command(epilog="\b\nExamples:\n  pybuild kill web\n  pybuild kill -s HUP web")
@click.argument("containers", nargs=-1, metavar="CONTAINER...")
@EVERY
@click.option("-s", "--signal", "name", default="KILL", metavar="SIGNAL", help="Name or number (KILL).")
@click.pass_obj
def kill(context: Context, containers: Sequence[str], everything: bool, name: str) -> int:
    """Send a signal to the first process of running containers."""
    from builder.containers import Containers, control
    from builder.containers.state import LIVE
    from pybuild.several import chosen, each, signal_number

    number = signal_number(name)
    book = Containers(context.store)
    containers = chosen(book, containers, everything, LIVE)

    def one(name: str) -> None:
        found = book.get(name)
        if number == signal.SIGKILL:
            control.kill(found)
        else:
            control.send(found, number or signal.SIGKILL)

    return each(containers, one)

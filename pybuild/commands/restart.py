"""`pybuild restart`: stop containers and start them again."""

from __future__ import annotations

from collections.abc import Sequence

import click

from pybuild.lifecycle import stopping
from pybuild.several import EVERY
from pybuild.wiring import Context


@click.command(epilog="\b\nExample:\n  pybuild restart -t 3 web")
@click.argument("containers", nargs=-1, metavar="CONTAINER...")
@EVERY
@stopping
@click.pass_obj
def restart(
    context: Context, containers: Sequence[str], everything: bool, grace: float | None, name: str | None
) -> int:
    """Stop containers as stop does, and start them again; those that do not run are just started."""
    from builder.containers import Containers, ContainerState, control
    from builder.containers.state import LIVE
    from builder.containers.telling import tell
    from pybuild.commands.run import begin
    from pybuild.several import chosen, each, signal_number

    number = signal_number(name)
    context.sweep()
    book = Containers(context.store)
    containers = chosen(book, containers, everything)

    def one(name: str) -> None:
        found = book.get(name)
        if found.state().status not in LIVE:
            try:
                with found.beginning() as lock:
                    begin(context, found, lock)
                tell(found.folder, found.settings, "restart")
                return
            except ContainerState:
                if found.state().status not in LIVE:  # else somebody was quicker
                    raise
        control.restart(found, grace=grace, number=number)

    return each(containers, one)

"""`pybuild rename`: another name for a container."""

from __future__ import annotations

import click

from pybuild.wiring import Context


@click.command(epilog="\b\nExample:\n  pybuild rename brave_owl web")
@click.argument("container")
@click.argument("name")
@click.pass_obj
def rename(context: Context, container: str, name: str) -> None:
    """Give CONTAINER, running or not, the NAME."""
    from contextlib import suppress

    from builder import networks
    from builder.containers import Containers, ContainerState
    from builder.containers.control import order
    from builder.containers.state import LIVE

    book = Containers(context.store)
    found = book.rename(book.get(container), name)
    if found.state().status in LIVE:
        with suppress(ContainerState):  # it has just ended
            order(found, "renamed")
        if networks.leased(context.store.root):
            from builder.containers.connecting import renamed
            from builder.networks.home import at_home

            at_home(lambda: renamed(context.store, found))

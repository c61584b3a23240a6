"""`pybuild rm`: remove containers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from pybuild.wiring import Context

if TYPE_CHECKING:
    from builder.containers import Container


@click.command(epilog="\b\nExamples:\n  pybuild rm crashed\n  pybuild rm -f web")
@click.argument("containers", nargs=-1, required=True, metavar="CONTAINER...")
@click.option("-f", "--force", is_flag=True, help="Kill those that run; do not mind those that are not there.")
@click.option("-v", "--volumes", is_flag=True, help="Also their volumes that have no name.")
@click.pass_obj
def rm(context: Context, containers: Sequence[str], force: bool, volumes: bool) -> int:
    """Remove containers and what they changed."""
    from builder.containers import ContainerError, ContainerMissing, Containers, ContainerState
    from builder.containers.control import kill
    from builder.containers.state import LIVE
    from layers import LayerError
    from pybuild.exits import tell

    book = Containers(context.store)
    failed = False

    def end(found: Container) -> None:
        try:
            if found.state().status in LIVE:
                kill(found)
        except ContainerState:
            if found.state().status in LIVE:  # else it has just ended
                raise

    def remove(found: Container) -> None:
        with suppress(FileNotFoundError):  # it has removed itself
            book.remove(found, volumes=volumes)

    for name in containers:
        try:
            found = book.get(name)
            try:
                if force:
                    end(found)
                remove(found)
            except ContainerState:
                if not force or found.state().status not in LIVE:
                    raise
                end(found)  # somebody has just started it
                remove(found)
            click.echo(name)
        except ContainerMissing as error:
            failed = failed or not force
            tell(f"error: {error}")
        except ContainerError as error:
            failed = True
            tell(f"error: {error}")
    with suppress(LayerError, OSError):  # the next start tries again
        context.tidy()  # of those whose supervisor was killed while they stood still, processes are left
    return int(failed)

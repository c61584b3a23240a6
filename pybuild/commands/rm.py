"""`pybuild rm`: remove containers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import click

from pybuild.several import EVERY
from pybuild.wiring import Context


@click.command(epilog="\b\nExamples:\n  pybuild rm crashed\n  pybuild rm -f web")
@click.argument("containers", nargs=-1, metavar="CONTAINER...")
@EVERY
@click.option("-f", "--force", is_flag=True, help="Kill those that run; do not mind those that are not there.")
@click.option("-v", "--volumes", is_flag=True, help="Also their volumes that have no name.")
@click.pass_obj
def rm(context: Context, containers: Sequence[str], everything: bool, force: bool, volumes: bool) -> int:
    """Remove containers and what they changed."""
    from builder.containers import ContainerError, ContainerMissing, Containers, control
    from layers import LayerError
    from pybuild.exits import tell
    from pybuild.several import chosen

    book = Containers(context.store)
    containers = chosen(book, containers, everything)
    failed = False
    for name in containers:
        try:
            found = book.get(name)
            if force:
                control.discard(book, found, volumes=volumes)
            else:
                with suppress(FileNotFoundError):  # it has removed itself
                    book.remove(found, volumes=volumes)
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

"""`pybuild wait`: until containers have ended."""

from __future__ import annotations

from collections.abc import Sequence

import click

from pybuild.wiring import Context


@click.command(epilog="\b\nExample:\n  pybuild wait web")
@click.argument("containers", nargs=-1, required=True, metavar="CONTAINER...")
@click.pass_obj
def wait(context: Context, containers: Sequence[str]) -> int:
    """Wait for each to end; print the exit codes."""
    from builder.containers import Containers
    from builder.containers.control import wait as until_ended
    from pybuild.several import each

    book = Containers(context.store)
    return each(containers, lambda name: until_ended(book.get(name)).exit_code, results=True)

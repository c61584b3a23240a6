"""`pybuild start`: begin containers that do not run."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from pybuild.wiring import Context


@click.command(epilog="\b\nExamples:\n  pybuild start web\n  pybuild start -ai crashed")
@click.argument("containers", nargs=-1, required=True, metavar="CONTAINER...")
@click.option("-a", "--attach", is_flag=True, help="Wait for it, its output here.")
@click.option("-i", "--interactive", is_flag=True, help="Hand standard input on.")
@click.option("--monitor", type=int, hidden=True, help="Stay with a detached container; tell this descriptor.")
@click.pass_obj
def start(context: Context, containers: Sequence[str], attach: bool, interactive: bool, monitor: int | None) -> int:
    """Start containers that were created, or have ended."""
    from builder.containers import Containers
    from pybuild.commands.run import attached, begin

    book = Containers(context.store)
    if monitor is not None:
        return stay(context, containers[0], monitor)
    context.sweep()
    if attach or interactive:
        if len(containers) > 1:
            raise click.UsageError("only one container can be attached to")
        return attached(context, book.get(containers[0]), stdin=interactive)
    for name in containers:
        begin(context, book.get(name))
        click.echo(name)
    return 0


def stay(context: Context, identity: str, tell: int) -> int:
    """The life of a detached container's own small process."""
    from builder.containers import Containers
    from builder.containers.supervise import supervise

    def started() -> None:
        os.write(tell, b"started")
        os.close(tell)

    os.set_inheritable(tell, False)
    book = Containers(context.store)
    container = book.get(identity)
    supervise(context.store, context.runtime, container, sink=None, stdin=None, started=started)
    if container.settings.remove:
        book.remove(container)
    return 0

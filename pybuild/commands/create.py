"""`pybuild create`: a container that `start` begins later."""

from __future__ import annotations

from typing import Any

import click

from pybuild.creating import creation, named_in, outline, settings, superseded
from pybuild.wiring import Context


@click.command(
    epilog="\b\nExample:\n  pybuild create --name web app && pybuild start web",
    context_settings={"allow_interspersed_args": False},
)
@creation
@click.argument("image")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def create(context: Context, /, image: str, command: tuple[str, ...], **options: Any) -> None:
    """Make a container of IMAGE without starting it; prints its id."""
    from builder.containers import Containers

    asked = outline(context, options)
    with context.store.lease():
        wanted = settings(context, asked, image, command, options)
        book = Containers(context.store)
        if options["replace"]:
            superseded(book, wanted.name)
        with named_in(options["cidfile"]) as name:
            container = book.create(wanted)
            name(container.id)
    click.echo(container.id)

"""`pybuild squash`: the upper layers of an image as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pybuild.shaping import chosen, named
from pybuild.wiring import Context

if TYPE_CHECKING:
    from layers.oci.address import Address


@click.command(
    epilog="\b\nExamples:\n  pybuild squash -t app:small app         above its base\n"
    "  pybuild squash --from 0 -t app:one app  everything\n"
    "  pybuild squash --from 3 app             all but the 3 lowest layers"
)
@click.argument("image")
@click.option("--from", "kept", type=click.IntRange(min=0), metavar="N", help="Keep the N lowest layers; 0: none.")
@click.option("-m", "--message", default="", metavar="TEXT", help="The comment in its history.")
@named
@chosen
@click.pass_obj
def squash(
    context: Context, image: str, kept: int | None, message: str, name: Address | None, platform: str | None
) -> None:
    """Make an image of IMAGE in which one layer does what its upper ones did one after another; print its id.

    Without --from the layers of its base are kept: of the image that its annotations name, else of the largest other
    image here that it stands on. If there is none, everything becomes one layer. Layers that are kept stay byte for
    byte; so does all history, to which a line is added. An image with nothing to squash is its own result.
    """
    from builder.squash import base_of
    from builder.squash import squash as run
    from layers import History
    from pybuild.shaping import keep, now
    from pybuild.subject import image as image_of

    with context.store.lease():
        found = image_of(context.store, image, platform)
        count = len(found.chain)
        if kept is None:
            kept, base = base_of(context.store, found)
            where = f"above {base}, {kept} of {count} layers" if base else "of everything: no base of it is here"
            click.echo(f"Squashing {where}", err=True)
        elif kept > count:
            raise click.UsageError(f"--from {kept}: {image} has {count} layers")
        line = History(now(), f"pybuild squash --from {kept}", None, message or None)
        keep(context, *run(context.store, found.manifest, found.config, kept, line), name)

"""`pybuild flatten`: an image of one layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pybuild.shaping import chosen, named
from pybuild.wiring import Context

if TYPE_CHECKING:
    from layers.oci.address import Address


@click.command(
    epilog="\b\nExamples:\n  pybuild flatten -t app:flat app\n  pybuild flatten app:1 | xargs pybuild history"
)
@click.argument("image")
@named
@chosen
@click.pass_obj
def flatten(context: Context, image: str, name: Address | None, platform: str | None) -> None:
    """Make an image of IMAGE that has the same files in one layer; print its id.

    Its history stays as lines without layers, and one line more. An image of one layer is its own result.
    """
    from builder.squash import squash
    from layers import History
    from pybuild.shaping import keep, now
    from pybuild.subject import image as image_of

    with context.store.lease():
        found = image_of(context.store, image, platform)
        line = History(now(), f"pybuild flatten {found.id}")
        keep(context, *squash(context.store, found.manifest, found.config, 0, line), name)

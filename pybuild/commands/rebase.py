"""`pybuild rebase`: the layers of an image on another base."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pybuild.shaping import chosen, named
from pybuild.wiring import Context

if TYPE_CHECKING:
    from layers.oci.address import Address


@click.command(
    epilog="\b\nExamples:\n  pybuild rebase --old-base debian:12.1 --new-base debian:12.2 -t app:2 app:1\n"
    "  pybuild rebase -t app:2 app:1   both bases as the image's annotations name them"
)
@click.argument("image")
@click.option("--old-base", "--old_base", "old", metavar="IMAGE", help="What it stands on now.")
@click.option("--new-base", "--new_base", "new", metavar="IMAGE", help="What it shall stand on.")
@named
@chosen
@click.pass_obj
def rebase(
    context: Context, image: str, old: str | None, new: str | None, name: Address | None, platform: str | None
) -> None:
    """Make an image of IMAGE that has the layers of another base below its own; print its id.

    Nothing is run and no layer is read. Its own layers stay byte for byte; annotations of the result say what its
    base is, and stand in for --old-base and --new-base the next time.
    """
    from layers import Reference, ReferenceInvalid
    from layers.making.rebase import rebase as run
    from layers.oci.image import BASE_DIGEST, BASE_NAME
    from pybuild.shaping import keep, warn
    from pybuild.subject import image as image_of

    with context.store.lease():
        found = image_of(context.store, image, platform)
        notes = found.manifest.annotations
        old, new = old or notes.get(BASE_DIGEST), new or notes.get(BASE_NAME)
        if not old or not new:
            option = "--new-base" if old else "--old-base"
            raise click.UsageError(f"{image} has no annotation that says what its base is: add {option} IMAGE")
        system = str(found.config.platform)
        below, above = image_of(context.store, old, system), image_of(context.store, new, system)
        try:
            reference = Reference.parse(new)
        except ReferenceInvalid:
            reference = None
        known = reference is not None and context.store.images.target(reference) is not None
        called = str(reference) if known else next(map(str, above.references), str(above.id))
        result = run(context.store, found, below, above, called)
        for sentence in result.warnings:
            warn(sentence)
        keep(context, result.manifest, result.config, name)

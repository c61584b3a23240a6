"""`pybuild append`: tars as further layers of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from pybuild.shaping import chosen, name_of
from pybuild.wiring import Context

if TYPE_CHECKING:
    from layers.oci.address import Address


@click.command(
    epilog="\b\nExamples:\n  pybuild append -b debian:12 -f app.tar.gz -t app\n"
    "  tar c hello | pybuild append -b scratch -f - -t hello"
)
@click.option("-b", "--base", metavar="IMAGE", default="scratch", help="What they go on top of; scratch: nothing.")
@click.option("-f", "--new-layer", "--new_layer", "tars", multiple=True, metavar="TAR", help="A layer; - reads stdin.")
@click.option(
    "-t",
    "--tag",
    "--new-tag",
    "--new_tag",
    "name",
    callback=name_of,
    metavar="NAME[:TAG]",
    help="Name of the new image.",
)
@click.option("--set-base-image-annotations", "note", is_flag=True, help="Say in its annotations what its base is.")
@chosen
@click.pass_obj
def append(
    context: Context, base: str, tars: Sequence[str], name: Address | None, note: bool, platform: str | None
) -> None:
    """Make an image of BASE with each TAR, in any compression or none, as one more layer; print its id.

    Names that begin with .wh. delete what lies below, as in any layer.
    """
    from layers import History, Platform
    from layers.oci.image import BASE_DIGEST, BASE_NAME, empty, rewrite, stack
    from pybuild.shaping import bring, keep, now
    from pybuild.subject import image as image_of

    if not tars:
        raise click.UsageError("nothing to append: add -f TAR")
    with context.store.lease():
        created = now()
        if base == "scratch":
            manifest, config = empty(Platform.parse(platform) if platform else Platform.host(), created)
        else:
            found = image_of(context.store, base, platform)
            manifest, config = found.manifest, found.config
        layers = bring(context, tars)
        manifest, config = stack(manifest, config, layers, [History(created, f"pybuild append {tar}") for tar in tars])
        if note and base != "scratch":
            called = next(map(str, found.references), str(found.id))
            notes = {**manifest.annotations, BASE_DIGEST: str(found.target.digest), BASE_NAME: called}
            manifest = rewrite(manifest, config, manifest.layers, notes)
        keep(context, manifest, config, name)

"""`pybuild unpack`: an image as a bundle for runc."""

from __future__ import annotations

from collections.abc import Sequence

import click

from pybuild.shaping import chosen
from pybuild.wiring import Context


@click.command(
    epilog="\b\nExamples:\n  pybuild unpack --image app bundle\n  runc run -b bundle app\n"
    "  pybuild unpack --image app --uid-map 0:100000:65536 --gid-map 0:100000:65536 bundle"
)
@click.argument("bundle")
@click.option("--image", required=True, metavar="IMAGE", help="What to unpack.")
@click.option("--uid-map", "uids", multiple=True, metavar="CONTAINER:HOST:SIZE", help="Users of a user namespace.")
@click.option("--gid-map", "gids", multiple=True, metavar="CONTAINER:HOST:SIZE", help="Groups of a user namespace.")
@click.option("--rootless", is_flag=True, hidden=True)
@click.option("--keep-dirlinks", is_flag=True, hidden=True)
@chosen
@click.pass_obj
def unpack(
    context: Context,
    bundle: str,
    image: str,
    uids: Sequence[str],
    gids: Sequence[str],
    rootless: bool,
    keep_dirlinks: bool,
    platform: str | None,
) -> None:
    """Make the directory BUNDLE: the files of an image as rootfs, config.json for runc, and what repack needs.

    It is umoci's kind of bundle: `umoci repack` takes it where the image lies in a layout, and repack takes umoci's.
    """
    from pathlib import Path

    from layers.bundles.bundle import unpack_bundle
    from layers.bundles.idmap import IdMap, IdRange
    from pybuild.subject import image as image_of

    if rootless:
        raise click.UsageError("--rootless: owners are not kept in attributes yet; unpack as root, or use --uid-map")
    if keep_dirlinks:
        raise click.UsageError(
            "--keep-dirlinks: a directory of a layer always replaces a link below it, as it does when the image is run"
        )
    ids = IdMap(tuple(map(IdRange.parse, uids)), tuple(map(IdRange.parse, gids)))
    with context.store.lease():
        unpack_bundle(context.store, image_of(context.store, image, platform), Path(bundle), ids=ids)

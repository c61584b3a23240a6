"""`pybuild repack`: a bundle as the next image."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pybuild.shaping import name_of
from pybuild.wiring import Context

if TYPE_CHECKING:
    from layers import Digest, Image
    from layers.oci.address import Address


def moment(_: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    """An RFC 3339 time."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise click.BadParameter(f"{text!r} is no time such as 2026-01-31T12:00:00Z", param=parameter)
    return text


@click.command(
    epilog="\b\nExamples:\n  pybuild unpack --image app bundle\n  chroot bundle/rootfs apt-get install -y vim\n"
    "  pybuild repack --image app:vim --mask-path /var/cache --history.comment 'with vim' bundle\n"
    "  pybuild repack --image oci:layout:vim bundle"
)
@click.argument("bundle")
@click.option(
    "--image", "name", required=True, callback=name_of, metavar="IMAGE", help="The new image: a name, oci:DIR:NAME, ..."
)
@click.option("--mask-path", "masks", multiple=True, metavar="PATH", help="Leave out what changed at or below it.")
@click.option("--no-mask-volumes", is_flag=True, help="Also take what changed in the image's volumes.")
@click.option("--refresh-bundle", is_flag=True, help="Let the bundle be of the new image from now on.")
@click.option("--history.author", "author", metavar="NAME", help="Who did it; by default the image's author.")
@click.option("--history.comment", "comment", metavar="TEXT", help="What for.")
@click.option(
    "--history.created", "created", callback=moment, metavar="TIME", help="When, as RFC 3339; by default now."
)
@click.option("--history.created_by", "created_by", metavar="TEXT", help="How (pybuild repack).")
@click.pass_obj
def repack(
    context: Context,
    bundle: str,
    name: Address,
    masks: Sequence[str],
    no_mask_volumes: bool,
    refresh_bundle: bool,
    author: str | None,
    comment: str | None,
    created: str | None,
    created_by: str | None,
) -> None:
    """Make an image of BUNDLE: its image's layers and one of what changed since unpack; print its id.

    BUNDLE is ours or umoci's; the image that it was made of must be here, or in the layout or repository that --image
    names. If nothing changed the result is that image.
    """
    from layers import History
    from layers.bundles.bundle import refresh
    from layers.bundles.bundle import repack as run
    from layers.oci.image import stack
    from pybuild.shaping import keep, now, warn

    store = context.store
    with store.lease():
        image, layer = run(
            store, Path(bundle), masks=masks, volumes=no_mask_volumes, warn=warn, find=partial(origin, context, name)
        )
        manifest, config = image.manifest, image.config
        if layer is None:
            click.echo("Nothing changed in the bundle", err=True)
        else:
            line = History(
                created or now(), created_by or "pybuild repack", author or config.author or None, comment or None
            )
            manifest, config = stack(manifest, config, [layer], [line])
        result = keep(context, manifest, config, name)
        if refresh_bundle:
            refresh(Path(bundle), result)


def origin(context: Context, target: Address, digest: Digest) -> Image:
    """The image that a bundle was made of: of the store, else of the place that the next one goes to.

    Raises BlobMissing and what the place raises.
    """
    from layers import BlobMissing
    from layers.oci.address import Address, Kind
    from pybuild.subject import elsewhere

    try:
        return context.store.images.get(str(digest))
    except BlobMissing as error:
        if target.kind is Kind.REGISTRY:
            place = Address(target.kind, "", str(target.reference.pinned(digest)))
        elif target.kind is Kind.LAYOUT and Path(target.path).exists():
            place = Address(target.kind, target.path, str(digest))
        else:
            error.add_note("the bundle was made of it: 'pybuild pull' brings it here, from where it was unpacked")
            raise
    return elsewhere(context.store, str(place))

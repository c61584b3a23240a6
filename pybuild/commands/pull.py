"""`pybuild pull`: an image from a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pybuild.transfers import bars, connection, mirrors
from pybuild.wiring import Context

if TYPE_CHECKING:
    from layers import Descriptor, Reference


@click.command(
    epilog="\b\nExamples:\n  pybuild pull debian:12\n  pybuild pull --platform linux/arm64 localhost:5000/app"
)
@click.argument("image")
@click.option("-a", "--all-platforms", is_flag=True, help="Every image of an index.")
@click.option("--platform", metavar="PLATFORM", help="Which image of an index, by default this machine's.")
@click.option("-q", "--quiet", is_flag=True, help="Print only the reference.")
@connection
@mirrors
@click.pass_obj
def pull(context: Context, image: str, all_platforms: bool, platform: str | None, quiet: bool) -> None:
    """Fetch IMAGE into the store, every byte verified."""
    from layers import Platform
    from layers.places import Places
    from layers.transfer import copy

    reference = context.sources.named(image)
    wanted = str(reference.digest) if reference.digest else str(reference.tag)
    before = context.store.images.target(reference)
    with context.store.lease(), bars(context.settings.color, quiet=quiet, verb="pulled") as progress:
        if not quiet:
            click.echo(f"{wanted}: pulling from {reference.familiar_repository}")
        found = copy(
            context.registry(reference),
            wanted,
            context.store.repository(),
            str(reference),
            platform=Platform.parse(platform) if platform else None,
            every=all_platforms,
            keep_index=True,
            progress=progress,
            places=Places(context.store),
        )
    mismatch(context, reference, found, platform)
    if quiet:
        click.echo(str(reference))
        return
    click.echo(f"Digest: {found.digest}")
    same = before is not None and before.digest == found.digest
    click.echo(f"Status: {'Image is up to date' if same else 'Downloaded newer image'} for {reference.familiar}")


def mismatch(context: Context, reference: Reference, found: Descriptor, platform: str | None) -> None:
    """Tell if the one image that a name has is for another platform than was wanted."""
    from layers import BlobMissing, Platform
    from layers.mediatypes import INDEXES
    from pybuild.exits import tell

    if found.media_type in INDEXES:
        return  # the image was chosen from it
    wanted = Platform.parse(platform) if platform else Platform.host()
    try:
        there = context.store.images.get(str(found.digest)).config.platform
    except BlobMissing:
        return  # an artifact
    if not wanted.accepts(there):
        tell(f"warning: {reference.familiar} is for {there} only, not for {wanted}")

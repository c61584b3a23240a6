"""`pybuild push`: an image to a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pybuild.transfers import bars, connection
from pybuild.wiring import Context

if TYPE_CHECKING:
    from layers import Descriptor, Reference


@click.command(
    epilog="\b\nExamples:\n  pybuild push registry.example.org/team/app:1.4\n  pybuild push app localhost:5000/app:1"
)
@click.argument("image")
@click.argument("destination", required=False)
@click.option("-a", "--all-tags", is_flag=True, help="Every tag of the repository.")
@click.option("-q", "--quiet", is_flag=True, help="Print only the reference.")
@click.option("--platform", metavar="PLATFORM", help="Only this image of an index.")
@click.option(
    "--compression", type=click.Choice(["gzip", "zstd", "uncompressed"]), default="gzip", help="Of layers built here."
)
@click.option("--compression-level", type=int, metavar="LEVEL")
@connection
@click.pass_obj
def push(
    context: Context,
    image: str,
    destination: str | None,
    all_tags: bool,
    quiet: bool,
    platform: str | None,
    compression: str,
    compression_level: int | None,
) -> None:
    """Send IMAGE to the registry that its name (or DESTINATION) names."""
    from layers import BlobMissing, Platform, Reference
    from layers.places import Places
    from layers.transfer import Packed, copy

    source = Reference.parse(image, default_tag=not all_tags)
    pairs: list[tuple[Descriptor | str, Reference]]
    if all_tags:
        known = context.store.images.names()
        pairs = [(str(name), name) for name, _ in known if name.repository == source.repository and name.tag]
        if not pairs:
            raise BlobMissing(f"a tag of {image}", f"the store {context.store.root}")
    else:
        target = Reference.parse(destination) if destination else source
        found = context.store.images.target(source)
        pairs = [(str(source) if found else str(context.store.images.get(image).target.digest), target)]
    codec = "none" if compression == "uncompressed" else compression
    packed = Packed(context.store, codec, compression_level)
    for name, reference in pairs:
        if not quiet:
            click.echo(f"The push refers to repository [{reference.repository}]")
        with context.store.lease(), bars(context.settings.color, quiet=quiet, verb="pushed") as progress:
            sent = copy(
                packed,
                str(name),
                context.registry(reference),
                reference.tag or str(packed.resolve(str(name)).digest),
                platform=Platform.parse(platform) if platform else None,
                every=platform is None,
                progress=progress,
                places=Places(context.store),
            )
        if quiet:
            click.echo(str(reference))
        else:
            click.echo(f"{reference.tag}: digest: {sent.digest} size: {sent.size}")

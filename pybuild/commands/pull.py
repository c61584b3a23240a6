"""`pybuild pull`: an image from a registry."""

from __future__ import annotations

import click

from pybuild.transfers import bars, connection, mirrors
from pybuild.wiring import Context


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
    if quiet:
        click.echo(str(reference))
        return
    click.echo(f"Digest: {found.digest}")
    same = before is not None and before.digest == found.digest
    click.echo(f"Status: {'Image is up to date' if same else 'Downloaded newer image'} for {reference.familiar}")

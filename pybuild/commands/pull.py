"""`pybuild pull`: an image from a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pybuild.transfers import bars, connection, mirrors
from pybuild.wiring import Context

if TYPE_CHECKING:
    from layers import Descriptor, Platform, Reference, Repository
    from layers.oci.address import Address


@click.command(
    epilog="\b\nExamples:\n  pybuild pull debian:12\n  pybuild pull --platform linux/arm64 localhost:5000/app\n"
    "  pybuild pull oci-archive:app.tar"
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
    from layers.moving.places import Places
    from layers.moving.transfer import copy
    from layers.oci.address import Address, Kind

    address = Address.parse(image, bare=Kind.REGISTRY)
    if address.kind is not Kind.REGISTRY:
        bring(context, address, Platform.parse(platform) if platform else None, every=all_platforms, quiet=quiet)
        return
    reference = context.sources.named(image.removeprefix("docker://"))
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
    context.note("pull", reference.familiar)
    if not runs(context, reference):
        click.echo(f"note: {reference.familiar} cannot be run: it is an artifact, or lacks layers", err=True)
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
    from layers.oci.mediatypes import INDEXES
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


def runs(context: Context, reference: Reference) -> bool:
    """True if what a name points to is an image with all its layers here."""
    from layers import BlobMissing, PlatformMissing

    try:
        context.store.images.get(str(reference))
    except BlobMissing:
        return False
    except PlatformMissing:
        return True  # elsewhere
    return True


def bring(context: Context, address: Address, platform: Platform | None, *, every: bool, quiet: bool) -> None:
    """Take an image in from a layout, an archive or a directory, under the whole names that it has there."""
    from layers.moving.transfer import copy
    from pybuild.addressing import resolve, source

    with (
        context.store.lease(),
        source(context, address) as there,
        bars(context.settings.color, quiet=quiet, verb="pulled") as progress,
    ):
        target = resolve(there, address)
        names = known(address, there, target)
        repository = context.store.repository()
        found = copy(
            there, target, repository, None, platform=platform, every=every, keep_index=True, progress=progress
        )
        for name in names:
            repository.tag(str(name), found)
    for name in names:
        click.echo(name.familiar)
    if not names:
        click.echo(str(found.digest))


def known(address: Address, there: Repository, target: Descriptor) -> tuple[Reference, ...]:
    """The whole names of what an address means: the one that it says, else those that an archive has for it."""
    from layers.moving.archive import OciArchive
    from layers.moving.dockerarchive import DockerArchive
    from layers.moving.names import REF_NAME, reference_of

    if address.name and not address.name.startswith(("@", "sha256:", "sha384:", "sha512:")):
        name = reference_of({REF_NAME: address.name})
        return (name,) if name else ()
    if not isinstance(there, OciArchive | DockerArchive):
        return ()
    return next((tuple(names) for image, names in there.images() if image.digest == target.digest), ())

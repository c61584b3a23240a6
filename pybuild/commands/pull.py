"""`pybuild pull`: an image from a registry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from pybuild.transfers import bars, connection, machine, mirrors
from pybuild.wiring import Context

if TYPE_CHECKING:
    from layers import Descriptor, Platform, Reference, Repository
    from layers.oci.address import Address


@click.command(
    epilog="\b\nExamples:\n  pybuild pull debian:12\n  pybuild pull --platform linux/arm64 localhost:5000/app\n"
    "  pybuild pull --all-tags localhost:5000/app\n  pybuild pull oci-archive:app.tar"
)
@click.argument("image")
@click.option("-a", "--all-tags", is_flag=True, help="Every tag of the repository.")
@click.option("--all-platforms", is_flag=True, help="Every image of an index.")
@click.option(
    "--platform",
    "platforms",
    multiple=True,
    metavar="PLATFORM",
    help="Which image of an index, by default this machine's.",
)
@machine
@click.option("-q", "--quiet", is_flag=True, help="Print only the reference.")
@click.option("--disable-content-trust", is_flag=True, hidden=True)
@connection
@mirrors
@click.pass_obj
def pull(
    context: Context,
    image: str,
    all_tags: bool,
    all_platforms: bool,
    platforms: Sequence[str],
    quiet: bool,
    disable_content_trust: bool,
) -> int:
    """Fetch IMAGE into the store, every byte verified."""
    from layers import Platform
    from layers.oci.address import Address, Kind

    wanted = Platform.parse(platforms[-1]) if platforms else None
    address = Address.parse(image, bare=Kind.REGISTRY)
    if address.kind is not Kind.REGISTRY:
        if all_tags:
            raise click.UsageError(f"--all-tags is for repositories of registries; copy takes {address.kind.value}:")
        bring(context, address, wanted, every=all_platforms, quiet=quiet)
        return 0
    if all_tags:
        return many(context, image.removeprefix("docker://"), wanted, every=all_platforms, quiet=quiet)
    reference = context.sources.named(image.removeprefix("docker://"))
    before = context.store.images.target(reference)
    found = fetch(context, reference, wanted, every=all_platforms, quiet=quiet)
    if quiet:
        click.echo(str(reference))
        return 0
    status(reference.familiar, same=before is not None and before.digest == found.digest)
    return 0


def fetch(context: Context, reference: Reference, platform: Platform | None, *, every: bool, quiet: bool) -> Descriptor:
    """Take in what a reference names at its registry, and tell of it; what that is."""
    from layers.moving.transfer import copy

    wanted = str(reference.digest or reference.tag)
    with context.store.lease(), bars(context.settings.color, quiet=quiet, verb="pulled") as progress:
        if not quiet:
            click.echo(f"{wanted}: pulling from {reference.familiar_repository}")
        found = copy(
            context.registry(reference),
            wanted,
            context.store.repository(),
            str(reference),
            platform=platform,
            every=every,
            keep_index=True,
            progress=progress,
            places=context.places,
        )
    context.note("pull", reference.familiar)
    if not runs(context, reference):
        click.echo(f"note: {reference.familiar} cannot be run: it is an artifact, or lacks layers", err=True)
    mismatch(context, reference, found, platform)
    if not quiet:
        click.echo(f"Digest: {found.digest}")
    return found


def many(context: Context, name: str, platform: Platform | None, *, every: bool, quiet: bool) -> int:
    """Every tag of a repository: one that is no image, or none for the platform, is told of and the others come."""
    from layers import LayerError, Reference
    from layers.oci.address import Address, Kind
    from pybuild.addressing import listing
    from pybuild.exits import tell

    plain = Reference.parse(name, default_tag=False)
    if plain.tag or plain.digest:
        raise click.UsageError(f"--all-tags takes a repository, without a tag or digest: {plain.familiar_repository}")
    repository, failed, new = context.sources.named(name).repository, False, False
    for tag in listing(context, Address(Kind.REGISTRY, "", repository)).tags():
        reference = Reference.parse(f"{repository}:{tag}")
        before = context.store.images.target(reference)
        try:
            found = fetch(context, reference, platform, every=every, quiet=quiet)
        except LayerError as error:
            failed = True
            tell(f"error: {reference.familiar}: {error}")
            continue
        new = new or before is None or before.digest != found.digest
    if quiet:
        click.echo(repository)
    elif not failed:
        status(plain.familiar_repository, same=not new)
    return int(failed)


def status(name: str, *, same: bool) -> None:
    """docker's last line."""
    click.echo(f"Status: {'Image is up to date' if same else 'Downloaded newer image'} for {name}")


def mismatch(context: Context, reference: Reference, found: Descriptor, wanted: Platform | None) -> None:
    """Tell if the one image that a name has is for another platform than was wanted."""
    from layers import BlobMissing, Platform
    from layers.oci.mediatypes import INDEXES
    from pybuild.exits import tell

    if found.media_type in INDEXES:
        return  # the image was chosen from it
    wanted = wanted or Platform.host()
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

"""`pybuild rmi`: names go, and images that have lost their last name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from pybuild.wiring import Context

if TYPE_CHECKING:
    from layers import Image, Platform, Reference


class InUse(click.ClickException):
    """Something still needs the image."""


@click.command(
    epilog="\b\nExamples:\n  pybuild rmi app:old\n  pybuild rmi -f 3f5a9c\n  pybuild rmi --platform linux/arm64 app"
)
@click.argument("names", nargs=-1, metavar="IMAGE...")
@click.option("-f", "--force", is_flag=True, help="Even if it has several names or a stopped container uses it.")
@click.option("-a", "--all", "everything", is_flag=True, help="Every image.")
@click.option("--platform", "platforms", multiple=True, metavar="PLATFORM", help="Only this image of an index.")
@click.option("--no-prune", is_flag=True, help="Accepted; there are no hidden parents here.")
@click.pass_obj
def rmi(
    context: Context, names: Sequence[str], force: bool, everything: bool, platforms: Sequence[str], no_prune: bool
) -> int:
    """Remove images. A name that is one of several is only taken away; the bytes go with 'pybuild prune'."""
    from layers import BlobMissing, NameAmbiguous, Platform, PlatformMissing, ReferenceInvalid
    from pybuild.exits import tell

    if everything == bool(names) or (everything and platforms):
        raise click.UsageError("name the IMAGEs to remove, or say --all")
    only = [Platform.parse(word) for words in platforms for word in words.split(",")]
    failed = False
    for name in every(context) if everything else names:
        try:
            if only:
                thin(context, name, only, force=force)
            else:
                remove(context, name, force=force)
        except (BlobMissing, NameAmbiguous, PlatformMissing, ReferenceInvalid) as error:
            if not (force and isinstance(error, BlobMissing)):
                failed = True
            tell(f"error: {error}")
        except InUse as error:
            failed = True
            tell(f"error: {error.message}")
    return int(failed)


def every(context: Context) -> Iterator[str]:
    """What is left to be removed: names first, then images that have none."""
    for reference, _ in context.store.images.names():
        if context.store.images.target(reference) is not None:  # it may have gone with another one
            yield str(reference)
    for image in context.store.images.list():
        yield str(image.id)


def remove(context: Context, name: str, *, force: bool) -> None:
    """Remove one; tell what went as docker does. Raises InUse, BlobMissing, NameAmbiguous, ReferenceInvalid.

    A name takes along every image that it alone leads to: of an index those of all platforms.
    """
    from pybuild.lists import members

    images = context.store.images
    reference = parsed(name)
    if reference is not None and (target := dict(images.names()).get(reference)) is not None:
        there = members(context, target)
        found = [one for one in there if not held(context, one, reference)]
        if not found:
            images.untag(reference)
            context.note("untag", str(there[0].id if there else target.digest), reference.familiar)
            click.echo(f"Untagged: {reference.familiar}")
            return
    else:
        found = [images.get(name)]
        if len(names := images.names_of(found[0].id)) > 1 and not force:
            told = ", ".join(one.familiar for one in names)
            raise InUse(f"image {found[0].id.short} has several names ({told}); remove them, or use -f")
    for image in found:
        unused(context, image, name, force=force)
    for image in found:
        delete(context, image)


def thin(context: Context, name: str, platforms: Sequence[Platform], *, force: bool) -> None:
    """Remove the images of some platforms of an index; its name stays for the others, if there are any.

    Raises InUse, PlatformMissing and what `remove` raises.
    """
    from pybuild.lists import members

    images = context.store.images
    found = [images.get(name, platform) for platform in platforms]
    target = found[0].target
    going = {image.id for image in found}
    if all(one.id in going for one in members(context, target)):
        remove(context, name, force=force)
        return
    for image in found:
        unused(context, image, name, force=force)
        others = [one for one in images.names_of(image.id) if images.target(one) != target]
        if others and not force:
            told = ", ".join(one.familiar for one in others)
            raise InUse(f"image {image.id.short} is also that of {told}; remove them, or use -f")
    for image in found:
        images.drop(image.manifest.descriptor.digest)
        context.note("delete", str(image.id))
        click.echo(f"Deleted: {image.id} ({image.config.platform})")


def held(context: Context, image: Image, going: Reference) -> bool:
    """Whether an image has a name of its own besides the one that goes."""
    return any(holds(one, going) for one in context.store.images.names_of(image.id))


def unused(context: Context, image: Image, name: str, *, force: bool) -> None:
    """Raises InUse for an image that a container needs."""
    users = containers(context, image)
    if users and (not force or any(running for _, running in users)):
        told = ", ".join(f"{who} ({'running' if running else 'stopped'})" for who, running in users)
        raise InUse(f"image {name} is used by container {told}; remove the container first")


def delete(context: Context, image: Image) -> None:
    """Take an image away, with all its names."""
    for dropped in context.store.images.remove(image.id):
        context.note("untag", str(image.id), dropped.familiar)
        click.echo(f"Untagged: {dropped.familiar}")
    context.note("delete", str(image.id))
    click.echo(f"Deleted: {image.id}")


def holds(other: Reference, going: Reference) -> bool:
    """Whether an image stays for a name when one of its names goes; a digest goes with the last tag beside it."""
    return other != going and (other.tag is not None or other.repository != going.repository)


def parsed(name: str) -> Reference | None:
    """The reference that a text is, if it is one."""
    from layers import Reference, ReferenceInvalid

    try:
        return Reference.parse(name)
    except ReferenceInvalid:
        return None


def containers(context: Context, image: Image) -> list[tuple[str, bool]]:
    """Names of the containers of an image, and whether they run."""
    from builder.containers import Containers
    from builder.containers.state import LIVE

    found = [one for one in Containers(context.store).list() if one.settings.image == str(image.id)]
    return [(one.name, one.state().status in LIVE) for one in found]

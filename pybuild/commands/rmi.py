"""`pybuild rmi`: names go, and images that have lost their last name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from pybuild.wiring import Context

if TYPE_CHECKING:
    from layers import Image, Reference


class InUse(click.ClickException):
    """Something still needs the image."""


@click.command(epilog="\b\nExamples:\n  pybuild rmi app:old\n  pybuild rmi -f 3f5a9c")
@click.argument("names", nargs=-1, required=True, metavar="IMAGE...")
@click.option("-f", "--force", is_flag=True, help="Even if it has several names or a stopped container uses it.")
@click.option("--no-prune", is_flag=True, help="Accepted; there are no hidden parents here.")
@click.pass_obj
def rmi(context: Context, names: Sequence[str], force: bool, no_prune: bool) -> int:
    """Remove images. A name that is one of several is only taken away; the bytes go with 'pybuild prune'."""
    from layers import BlobMissing, NameAmbiguous, ReferenceInvalid
    from pybuild.exits import tell

    failed = False
    for name in names:
        try:
            remove(context, name, force=force)
        except (BlobMissing, NameAmbiguous, ReferenceInvalid) as error:
            if not (force and isinstance(error, BlobMissing)):
                failed = True
            tell(f"error: {error}")
        except InUse as error:
            failed = True
            tell(f"error: {error.message}")
    return int(failed)


def remove(context: Context, name: str, *, force: bool) -> None:
    """Remove one; tell what went as docker does. Raises InUse, BlobMissing, NameAmbiguous, ReferenceInvalid."""
    images = context.store.images
    image = images.get(name)
    names = images.names_of(image.id)
    reference = next((one for one in names if one == parsed(name)), None)
    if reference is not None and any(holds(one, reference) for one in names):
        images.untag(reference)
        context.note("untag", str(image.id), reference.familiar)
        click.echo(f"Untagged: {reference.familiar}")
        return
    if reference is None and len(names) > 1 and not force:
        held = ", ".join(one.familiar for one in names)
        raise InUse(f"image {image.id.short} has several names ({held}); remove them, or use -f")
    users = containers(context, image)
    if users and (not force or any(running for _, running in users)):
        told = ", ".join(f"{who} ({'running' if running else 'stopped'})" for who, running in users)
        raise InUse(f"image {name} is used by container {told}; remove the container first")
    for dropped in images.remove(image.id):
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

"""`pybuild manifest`: one name for the images of several platforms."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pybuild.options import together
from pybuild.transfers import bars, connection
from pybuild.wiring import Context

if TYPE_CHECKING:
    from layers import Descriptor, Index, Platform

EPILOG = """
\b
Examples:
  pybuild manifest create example.org/app:1 example.org/app:1-amd64 example.org/app:1-arm64
  pybuild manifest add --arch arm --variant v6 example.org/app:1 oci:layout:armv6
  pybuild manifest annotate --os-version 10.0.17763 example.org/app:1 sha256:3f5a...
  pybuild manifest push --purge example.org/app:1"""


@click.group(epilog=EPILOG)
def manifest() -> None:
    """Make lists of images, one for each platform, and push them."""


platformed = together(
    click.option("--os", metavar="OS", help="The system, as in linux."),
    click.option("--arch", metavar="ARCH", help="The processor, as in arm64."),
    click.option("--variant", metavar="VARIANT", help="The processor's variant, as in v7."),
    click.option("--os-version", metavar="VERSION", help="The system's version."),
    click.option("--os-features", multiple=True, metavar="WORD", help="What the system must have; repeatable."),
    click.option("--annotation", "annotations", multiple=True, metavar="KEY=VALUE", help="A note on the entry."),
)
"""Adds what can be said of an entry."""


@manifest.command(epilog="\b\nExample:\n  pybuild manifest create app:1 app:1-amd64 app:1-arm64")
@click.argument("name")
@click.argument("images", nargs=-1, metavar="IMAGE...")
@click.option("-a", "--amend", is_flag=True, help="Change the list if there is one by this name.")
@click.option("--all", "every", is_flag=True, help="Of lists take all images, not only this machine's.")
@click.option("--annotation", "annotations", multiple=True, metavar="KEY=VALUE", help="A note on the list.")
@connection
@click.pass_obj
def create(
    context: Context, name: str, images: Sequence[str], amend: bool, every: bool, annotations: Sequence[str]
) -> None:
    """Make the list NAME of IMAGEs, which are fetched if they are not in the store."""
    from layers import Index, Reference
    from layers.oci.lists import annotated, entered
    from pybuild.lists import entries, find, keep, pairs

    reference = Reference.parse(name)
    index = Index.build(())
    with context.store.lease():
        if context.store.images.target(reference) is not None:
            if not amend:
                raise click.ClickException(f"{reference.familiar} is there already; --amend changes it")
            _, index = find(context, name)
        for image in images:
            for entry in entries(context, image, None, every=every):
                index = entered(index, entry)
        if annotations:
            index = annotated(index, pairs(annotations))
        keep(context, reference, index)
    click.echo(f"Created manifest list {reference}")


@manifest.command(epilog="\b\nExample:\n  pybuild manifest add --variant v6 app:1 docker://localhost:5000/app:armv6")
@click.argument("name")
@click.argument("image")
@platformed
@click.option("--all", "every", is_flag=True, help="Of a list take all images, not only this machine's.")
@connection
@click.pass_obj
def add(context: Context, /, name: str, image: str, every: bool, **options: Any) -> None:
    """Take IMAGE into the list NAME; one for the same manifest is replaced."""
    from layers.oci.lists import entered
    from pybuild.lists import altered, entries, find, keep

    said = any(options[key] for key in ("os", "arch", "variant", "os_version", "os_features", "annotations"))
    with context.store.lease():
        reference, index = find(context, name)
        for entry in entries(context, image, None if every else wanted(options), every=every):
            index = entered(index, altered(entry, options) if said else entry)
        click.echo(keep(context, reference, index).digest)


def wanted(options: dict[str, Any]) -> Platform | None:
    """Which image of a list is meant, if flags say one."""
    from layers import Platform

    if not options["arch"]:
        return None
    return Platform.of(options["os"] or "linux", options["arch"], options["variant"])


@manifest.command(epilog="\b\nExample:\n  pybuild manifest annotate --arch arm --variant v7 app:1 app:1-arm")
@click.argument("name")
@click.argument("image", required=False)
@platformed
@click.option("--index", "whole", is_flag=True, help="The annotations are the list's own.")
@connection
@click.pass_obj
def annotate(context: Context, /, name: str, image: str | None, whole: bool, **options: Any) -> None:
    """Say something else of IMAGE, a name or digest, in the list NAME."""
    from layers.oci.lists import annotated, entered
    from pybuild.lists import altered, find, keep, pairs

    if whole == (image is not None):
        raise click.UsageError("give the IMAGE of the list that is meant, or --index for the list itself")
    with context.store.lease():
        reference, index = find(context, name)
        if image is None:
            index = annotated(index, pairs(options["annotations"]))
        else:
            index = entered(index, altered(entry(context, index, image), options))
        click.echo(keep(context, reference, index).digest)


def entry(context: Context, index: Index, image: str) -> Descriptor:
    """What a list says of an image, by digest or by a name in the store, else in a registry.

    Raises click.ClickException if it says nothing of it, and what registries raise.
    """
    from layers import BlobMissing
    from layers.oci.address import Address, Kind
    from pybuild.addressing import resolve, source

    wanted = {image}
    if not image.startswith("sha256:"):
        address = Address.parse(image)
        try:
            target = context.store.repository().resolve(image)
            wanted |= {str(target.digest), str(context.store.images.get(image).manifest.descriptor.digest)}
        except BlobMissing:
            if address.kind is Kind.STORE:
                address = Address(Kind.REGISTRY, "", image)
            with source(context, address) as there:
                wanted.add(str(resolve(there, address).digest))
    for one in index.manifests:
        if str(one.digest) in wanted:
            return one
    there_are = ", ".join(str(one.digest) for one in index.manifests) or "nothing"
    raise click.ClickException(f"{image} is not in this list: it has {there_are}")


@manifest.command(epilog="\b\nExample:\n  pybuild manifest remove app:1 sha256:3f5a...")
@click.argument("name")
@click.argument("image")
@connection
@click.pass_obj
def remove(context: Context, name: str, image: str) -> None:
    """Take IMAGE, a name or digest, out of the list NAME."""
    from layers.oci.lists import removed
    from pybuild.lists import find, keep

    with context.store.lease():
        reference, index = find(context, name)
        click.echo(keep(context, reference, removed(index, entry(context, index, image).digest)).digest)


@manifest.command(epilog="\b\nExample:\n  pybuild manifest inspect debian:12")
@click.argument("name")
@connection
@click.pass_obj
def inspect(context: Context, name: str) -> None:
    """Show the list or manifest NAME, of the store or else of a registry, as JSON."""
    from layers import BlobMissing
    from layers.moving.repository import document
    from layers.oci.address import Address, Kind
    from pybuild.addressing import resolve, source
    from pybuild.formats.template import indented

    for address in (Address.parse(name), Address(Kind.REGISTRY, "", name)):
        try:
            with source(context, address) as there:
                raw = document(there, resolve(there, address))
        except BlobMissing:
            if address.kind is not Kind.STORE:
                raise
        else:
            click.echo(indented(json.loads(raw)))
            return


@manifest.command(epilog="\b\nExample:\n  pybuild manifest exists app:1")
@click.argument("name")
@click.pass_obj
def exists(context: Context, name: str) -> int:
    """End with 0 if the store has a list NAME, else with 1."""
    from layers import BlobMissing
    from pybuild.lists import find

    try:
        find(context, name)
    except (BlobMissing, click.ClickException):
        return 1
    return 0


@manifest.command(epilog="\b\nExample:\n  pybuild manifest push --purge example.org/app:1")
@click.argument("name")
@click.argument("destination", required=False)
@click.option("--all", "every", is_flag=True, help="Accepted: images that the registry lacks are always sent.")
@click.option("-p", "--purge", "--rm", "purge", is_flag=True, help="Remove the list from the store when it is pushed.")
@click.option("-f", "--format", "kind", type=click.Choice(["oci", "v2s2", "docker"]), help="Family of media types.")
@click.option("--digestfile", type=click.Path(path_type=Path), metavar="FILE", help="Write the digest there.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@connection
@click.pass_obj
def push(
    context: Context,
    name: str,
    destination: str | None,
    every: bool,
    purge: bool,
    kind: str | None,
    digestfile: Path | None,
    quiet: bool,
) -> None:
    """Send the list NAME and its images to the registry that the name, or DESTINATION, names."""
    from layers.oci.address import Address, Kind
    from pybuild.copying import Form, copy
    from pybuild.exits import tell
    from pybuild.lists import find

    reference, _ = find(context, name)
    where = Address.parse(destination or name, bare=Kind.REGISTRY)
    form = Form("gzip", kind={"v2s2": "docker"}.get(kind or "", kind), raw_only=True)
    with bars(context.settings.color, quiet=quiet, verb="pushed") as progress:
        sent = copy(context, Address(Kind.STORE, "", name), where, form=form, every=True, progress=progress)
    for note in sent.notes:
        tell(f"warning: {note}")
    if digestfile is not None:
        digestfile.write_text(str(sent.image.digest))
    click.echo(sent.image.digest)
    if purge:
        context.store.images.untag(reference)


@manifest.command(epilog="\b\nExample:\n  pybuild manifest rm app:1")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.pass_obj
def rm(context: Context, names: Sequence[str]) -> int:
    """Remove lists; their images stay where they have other names."""
    from layers import BlobMissing
    from pybuild.exits import tell
    from pybuild.lists import find

    failed = False
    for name in names:
        try:
            reference, _ = find(context, name)
        except (BlobMissing, click.ClickException) as error:
            tell(f"error: {error}")
            failed = True
            continue
        target = context.store.images.untag(reference)
        context.note("untag", str(target.digest) if target else name, reference.familiar)
        click.echo(f"Untagged: {reference.familiar}")
    return int(failed)

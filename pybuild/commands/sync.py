"""`pybuild sync`: many images at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pybuild.transfers import both_ends
from pybuild.wiring import Context

if TYPE_CHECKING:
    from layers.oci.address import Address
    from registry.session import Client


@click.command(
    epilog="\b\nExamples:\n  pybuild sync --src docker --dest dir registry.example.org/busybox /media/usb\n"
    "  pybuild sync --src dir --dest docker /media/usb localhost:5000/mirror\n"
    "  pybuild sync --src docker --dest docker --scoped --include '^v1\\.' example.org/team/ localhost:5000\n\n"
    "\b\nSRC of --src yaml is skopeo's file: HOST: {images: {NAME: [TAG, ...]}, images-by-tag-regex: {NAME: REGEX},\n"
    "images-by-semver: {NAME: CONSTRAINT},\n"
    "credentials: {username: NAME, password: WORD}, tls-verify: BOOL, cert-dir: DIR}.\n\n"
    "\b\nSRC in a registry is a repository (all its tags), a reference, or HOST/ or HOST/PREFIX/ for every repository\n"
    "below. A tag alone is what --include and --exclude look at."
)
@click.argument("source", metavar="SRC")
@click.argument("destination", metavar="DST")
@click.option("-s", "--src", "origin", type=click.Choice(["docker", "dir", "yaml"]), required=True, help="What SRC is.")
@click.option("-d", "--dest", "target", type=click.Choice(["docker", "dir"]), required=True, help="What DST is.")
@click.option("-a", "--all", "every", is_flag=True, help="Every image of an index, and the index itself.")
@click.option("--scoped", is_flag=True, help="Keep whole names, with host and path, below DST.")
@click.option("--include", multiple=True, metavar="REGEX", help="Only tags in which this is found; repeatable.")
@click.option("--exclude", multiple=True, metavar="REGEX", help="No tags in which this is found; repeatable.")
@click.option("--keep-going", is_flag=True, help="Go on with the others when one fails; the exit code is 1 then.")
@click.option(
    "-f", "--format", "kind", type=click.Choice(["oci", "docker", "v2s2"]), help="Media types of the manifests."
)
@click.option("--preserve-digests", is_flag=True, help="Change nothing at all.")
@click.option("--remove-signatures", is_flag=True, hidden=True)  # none are ever copied
@click.option("--dry-run", is_flag=True, help="Print what would be copied, and copy nothing.")
@both_ends
@click.pass_obj
def sync(
    context: Context,
    source: str,
    destination: str,
    origin: str,
    target: str,
    every: bool,
    scoped: bool,
    include: Sequence[str],
    exclude: Sequence[str],
    keep_going: bool,
    kind: str | None,
    preserve_digests: bool,
    remove_signatures: bool,
    dry_run: bool,
    source_client: Client | None,
    target_client: Client | None,
) -> int:
    """Copy all images of SRC to DST; prints each digest and where it is now."""
    from layers import LayerError
    from layers.oci.address import Kind
    from pybuild.copying import Form, copy
    from pybuild.exits import explain, tell
    from pybuild.syncing import Colliding, directories, filtered, images, ways
    from registry.errors import RegistryError

    if preserve_digests and kind:
        raise click.UsageError("--preserve-digests excludes --format")
    if origin == target == "dir":
        raise click.UsageError("directories are copied by 'cp -r'; one side of a sync is a registry")
    clients: dict[str, Client | None] = {}
    if origin == "yaml":
        found = named(context, Path(source), clients, source_client)
    else:
        found = directories(Path(source)) if origin == "dir" else images(context, source, source_client)
    try:
        chosen = filtered(found, include, exclude)
        planned = ways(chosen, source, Kind(target), destination, scoped=scoped)
    except re.error as error:
        raise click.UsageError(f"{error.pattern!r} is no regular expression: {error}") from error
    except Colliding as error:
        raise click.UsageError(str(error)) from error
    failed = 0
    for way in planned:
        if dry_run:
            click.echo(f"{way.origin} {way.destination}")
            continue
        try:
            copied = copy(
                context,
                way.origin,
                way.destination,
                form=Form(kind="docker" if kind == "v2s2" else kind, preserve=preserve_digests),
                every=every,
                source_client=clients.get(way.origin.reference.host, source_client) if clients else source_client,
                target_client=target_client,
            )
        except (LayerError, RegistryError, OSError) as error:
            if not keep_going:
                error.add_note(f"{way.origin} was not copied; --keep-going would go on with the others")
                raise
            failed += 1
            tell(explain(error))
            continue
        click.echo(f"{copied.image.digest}  {way.destination}")
    if failed:
        tell(f"error: {failed} of {len(planned)} images were not copied")
    return int(failed > 0)


def named(context: Context, file: Path, clients: dict[str, Client | None], usual: Client | None) -> Iterator[Address]:
    """The images that a file names; what speaks to each registry is put into `clients`."""
    from pybuild.syncfile import hosts

    for host in hosts(file):
        clients[host.name] = host.client(context, usual)
        yield from host.addresses(context, clients[host.name])

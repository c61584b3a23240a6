"""`pybuild tags`: which names there are."""

from __future__ import annotations

import json

import click

from pybuild.transfers import connection
from pybuild.wiring import Context


@click.command(
    epilog="\b\nExamples:\n  pybuild tags docker://registry.example.org/team/app\n  pybuild tags oci:rootfs\n"
    "  pybuild tags --format json docker-archive:app.tar"
)
@click.argument("place", metavar="REPO")
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", help="json: as skopeo list-tags."
)
@connection
@click.pass_obj
def tags(context: Context, place: str, form: str) -> None:
    """List the tags of REPO, one a line: docker://REPO, oci:DIR, an archive, or a repository of the local store."""
    from layers import BlobMissing, Reference
    from layers.moving.repository import Tags
    from layers.oci.address import Address, Kind
    from pybuild.addressing import listing, source

    address = Address.parse(place)
    where = str(address)
    match address.kind:
        case Kind.REGISTRY:
            where = address.reference.repository
            found = listing(context, address).tags()
        case Kind.STORE:
            where = Reference.parse(place, default_tag=False).repository
            known = [name for name, _ in context.store.images.names() if name.repository == where and name.tag]
            if not known:
                missing = BlobMissing(f"a tag of {place}", f"the store {context.store.root}")
                missing.add_note(f"a bare name is the store's; to ask a registry write docker://{place}")
                raise missing
            found = tuple(sorted(str(name.tag) for name in known))
        case _:
            with source(context, address) as there:
                if not isinstance(there, Tags):
                    raise click.UsageError(f"{address.kind.value}: holds one image, without a name")
                found = tuple(there.tags())
    if form == "json":
        click.echo(json.dumps({"Repository": where, "Tags": found}, indent=4))
    else:
        for tag in found:
            click.echo(tag)

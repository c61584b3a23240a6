"""`pybuild digest`: what a name points to."""

from __future__ import annotations

import click

from pybuild.transfers import connection
from pybuild.wiring import Context


@click.command(
    epilog="\b\nExamples:\n  pybuild digest docker://debian:12\n"
    "  pybuild digest --platform linux/arm64 oci:rootfs:latest"
)
@click.argument("place", metavar="REF")
@click.option("--platform", metavar="PLATFORM", help="Of this image, not of the index that holds it.")
@connection
@click.pass_obj
def digest(context: Context, place: str, platform: str | None) -> None:
    """Print the digest of the manifest or index that REF points to."""
    from layers import Platform
    from layers.oci.address import Address
    from pybuild.addressing import resolve, source
    from pybuild.reading import chosen

    address = Address.parse(place)
    with source(context, address) as there:
        found = resolve(there, address)
        if platform:
            found = chosen(there, found, Platform.parse(platform))
        click.echo(str(found.digest))

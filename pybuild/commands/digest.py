"""`pybuild digest`: what a name points to."""

from __future__ import annotations

import click

from pybuild.transfers import connection
from pybuild.wiring import Context


@click.command(
    epilog="\b\nExamples:\n  pybuild digest docker://debian:12\n"
    "  pybuild digest --platform linux/arm64 oci:rootfs:latest\n  pybuild digest --file manifest.json"
)
@click.argument("place", metavar="REF", required=False)
@click.option("--file", metavar="FILE", help="Of the manifest in this file (skopeo manifest-digest); - reads stdin.")
@click.option("--platform", metavar="PLATFORM", help="Of this image, not of the index that holds it.")
@connection
@click.pass_obj
def digest(context: Context, place: str | None, file: str | None, platform: str | None) -> None:
    """Print the digest of the manifest or index that REF points to, or that a file holds."""
    from layers import Platform
    from layers.oci.address import Address
    from pybuild.addressing import resolve, source
    from pybuild.reading import chosen

    if (file is None) == (place is None) or (file is not None and platform):
        raise click.UsageError("name the REF, or a manifest with --file")
    if file is not None:
        click.echo(of_file(file))
        return
    address = Address.parse(str(place))
    with source(context, address) as there:
        found = resolve(there, address)
        if platform:
            found = chosen(there, found, Platform.parse(platform))
        click.echo(str(found.digest))


def of_file(name: str) -> str:
    """The digest of a document. Raises DocumentInvalid for what is none, OSError."""
    from layers import Digest, DocumentInvalid
    from layers.oci.documents import MAX_DOCUMENT, decode

    with click.open_file(name, "rb") as file:
        raw = file.read(MAX_DOCUMENT + 1)
    if len(raw) > MAX_DOCUMENT:
        raise DocumentInvalid(name, f"larger than {MAX_DOCUMENT} bytes")
    if decode(raw, name).get("schemaVersion") != 2:
        raise DocumentInvalid(name, "no manifest or index of schema 2")
    return str(Digest.of(raw))

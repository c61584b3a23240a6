"""`pybuild delete`: a name, and nothing else."""

from __future__ import annotations

import click

from pybuild.transfers import connection
from pybuild.wiring import Context


@click.command(
    epilog="\b\nExamples:\n  pybuild delete docker://registry.example.org/app:old\n  pybuild delete oci:rootfs:old\n"
    "  pybuild delete docker://registry.example.org/app@sha256:..."
)
@click.argument("place", metavar="REF")
@connection
@click.pass_obj
def delete(context: Context, place: str) -> None:
    """Delete the tag REF; other tags of the same image stay. Only a digest takes an image and all its tags away."""
    from layers.moving.layout import Layout
    from layers.oci.address import Address, Kind
    from pybuild.addressing import listing, source

    address = Address.parse(place)
    match address.kind:
        case Kind.REGISTRY:
            listing(context, address).delete(str(address.reference.digest or address.reference.tag))
        case Kind.LAYOUT if address.name and not address.name.startswith("@"):
            with source(context, address) as layout:
                assert isinstance(layout, Layout)
                layout.delete(address.name)
        case Kind.STORE:
            raise click.UsageError(
                f"'pybuild rmi {place}' deletes from the store; a registry's tag is docker://{place}"
            )
        case _:
            raise click.UsageError(f"{place}: only tags of registries and layouts (oci:DIR:NAME) can be deleted")

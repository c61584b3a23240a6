"""`pybuild save`: images as a tar archive."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from pybuild.wiring import Context


@click.command(
    epilog="\b\nExamples:\n  pybuild save -o app.tar app:1\n  pybuild save --format oci app:1 | ssh host docker load"
)
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option("-o", "--output", "dest", metavar="FILE", help="Write there instead of to standard output.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["docker", "docker-archive", "oci", "oci-archive"]),
    default="docker",
    help="docker: layers uncompressed, for docker load; oci: compressed by gzip.",
)
@click.pass_obj
def save(context: Context, images: Sequence[str], dest: str | None, kind: str) -> None:
    """Write images, with their names, to an archive that docker, podman and skopeo read."""
    from builder.export import replacing
    from layers import Reference, ReferenceInvalid
    from layers.moving.archive import Named
    from layers.moving.archive import save as write

    if dest is None and sys.stdout.isatty():
        raise click.UsageError("an archive is not written to a terminal: add -o FILE, or redirect it")
    named: list[Named] = []
    for image in images:
        try:
            reference = Reference.parse(image)
            target = context.store.images.target(reference)
        except ReferenceInvalid:
            target = None
        if target is None:
            named.append((context.store.images.get(image).target, ()))
        else:
            named.append((target, (reference,)))
    with context.store.lease(), replacing(Path(dest or "/dev/stdout")) as sink:
        write(context.store, named, sink, kind=kind.removesuffix("-archive"))

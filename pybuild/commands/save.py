"""`pybuild save`: images as a tar archive."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from pybuild.wiring import Context


@click.command(
    epilog="\b\nExamples:\n  pybuild save -o app.tar app:1\n  pybuild save --format oci app:1 | ssh host docker load\n"
    "  pybuild save --platform linux/arm64 -o app.tar app:1"
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
@click.option("--platform", metavar="PLATFORM", help="Only this image of an index, by default all that are here.")
@click.pass_obj
def save(context: Context, images: Sequence[str], dest: str | None, kind: str, platform: str | None) -> None:
    """Write images, with their names, to an archive that docker, podman and skopeo read."""
    from builder.export import replacing
    from layers import Platform, Reference, ReferenceInvalid
    from layers.moving.archive import Named
    from layers.moving.archive import save as write

    if dest is None and sys.stdout.isatty():
        raise click.UsageError("an archive is not written to a terminal: add -o FILE, or redirect it")
    wanted = Platform.parse(platform) if platform else None
    named: list[Named] = []
    for image in images:
        try:
            reference = Reference.parse(image)
            target = context.store.images.target(reference)
        except ReferenceInvalid:
            target = None
        names = () if target is None else (reference,)
        if wanted is not None:
            target = context.store.images.get(image, wanted).manifest.descriptor
        named.append((target or context.store.images.get(image).target, names))
    with context.store.lease(), replacing(Path(dest or "/dev/stdout")) as sink:
        write(context.store, named, sink, kind=kind.removesuffix("-archive"))

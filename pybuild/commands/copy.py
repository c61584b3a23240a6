"""`pybuild copy`: an image from one place to another, digests kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pybuild.transfers import bars, both_ends
from pybuild.wiring import Context

if TYPE_CHECKING:
    from registry.session import Client


@click.command(
    "copy",
    epilog="\b\nExamples:\n  pybuild copy docker://busybox:latest oci:rootfs:latest\n"
    "  pybuild copy --all docker://debian:12 docker://registry.example.org/debian:12\n"
    "  pybuild copy app:1 docker-archive:app.tar:app:1\n"
    "  pybuild copy --compress zstd oci:rootfs:latest dir:small\n\n\b\nPlaces:\n"
    "  docker://REF  oci:DIR[:NAME]  oci-archive:FILE[:NAME]  docker-archive:FILE[:REF]  dir:PATH\n"
    "  and NAME, an image of the local store",
)
@click.argument("src")
@click.argument("dst")
@click.option("-a", "--all", "every", is_flag=True, help="Every image of an index, and the index itself.")
@click.option("--multi-arch", type=click.Choice(["system", "all"]), help="skopeo's word for that: all is --all.")
@click.option("--platform", metavar="PLATFORM", help="Which image of an index, by default this machine's.")
@click.option("--preserve-digests", is_flag=True, help="Change nothing at all, not even layers that lie uncompressed.")
@click.option(
    "-f",
    "--format",
    "kind",
    type=click.Choice(["oci", "docker", "v2s2"]),
    help="Media types of the manifest; another digest comes of it.",
)
@click.option(
    "--compress",
    "--dest-compress-format",
    "codec",
    type=click.Choice(["gzip", "zstd", "none"]),
    help="Of every layer, whatever it was.",
)
@click.option("--compress-level", "--dest-compress-level", "level", type=int, metavar="LEVEL")
@click.option("--dest-compress", is_flag=True, help="Compress layers that lie uncompressed: --compress gzip for those.")
@click.option("--dest-decompress", is_flag=True, help="The same as --compress none.")
@click.option(
    "--dest-oci-accept-uncompressed-layers", "as_they_are", is_flag=True, help="The same as --preserve-digests."
)
@click.option(
    "--additional-tag", "also", multiple=True, metavar="REF", help="One more name in a docker-archive; repeatable."
)
@click.option("--remove-signatures", is_flag=True, hidden=True)  # none are ever copied
@click.option("--dest-precompute-digests", is_flag=True, hidden=True)  # they always are
@click.option("--digestfile", metavar="FILE", help="Write the digest of the image there.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing when all goes well.")
@both_ends
@click.pass_obj
def copy(
    context: Context,
    src: str,
    dst: str,
    every: bool,
    multi_arch: str | None,
    platform: str | None,
    preserve_digests: bool,
    kind: str | None,
    codec: str | None,
    level: int | None,
    dest_compress: bool,
    dest_decompress: bool,
    as_they_are: bool,
    also: Sequence[str],
    remove_signatures: bool,
    dest_precompute_digests: bool,
    digestfile: str | None,
    quiet: bool,
    source_client: Client | None,
    target_client: Client | None,
) -> None:
    """Copy an image from SRC to DST; its digest is printed."""
    from builder.export import STREAMS
    from layers import Platform
    from layers.oci import mediatypes
    from layers.oci.address import Address, Kind
    from pybuild.copying import RAW, Form
    from pybuild.copying import copy as carry

    every = every or multi_arch == "all"
    if every and platform:
        raise click.UsageError("--all and --platform exclude each other")
    if dest_compress + dest_decompress + (codec is not None) > 1:
        raise click.UsageError("--compress, --dest-compress and --dest-decompress exclude each other")
    raw_only = dest_compress
    codec = "gzip" if dest_compress else "none" if dest_decompress else codec
    preserve_digests = preserve_digests or as_they_are
    if preserve_digests and (kind or codec):
        raise click.UsageError("--preserve-digests excludes --format and --compress")
    if kind == "v2s2":
        kind = "docker"
    if kind == "docker" and codec == "zstd":
        raise click.UsageError("docker's format knows no zstd: choose --format oci, or --compress gzip")
    origin, destination = Address.parse(src), Address.parse(dst)
    if every and destination.kind is Kind.DOCKER_ARCHIVE:
        raise click.UsageError("docker's archives hold one platform: leave --all away, or write oci-archive:FILE")
    if also and destination.kind is not Kind.DOCKER_ARCHIVE:
        raise click.UsageError("--additional-tag is for docker-archive:; elsewhere copy once for each name")
    with bars(context.settings.color, quiet=quiet, verb="copied") as progress:
        copied = carry(
            context,
            origin,
            destination,
            form=Form(codec, level, kind, raw_only=raw_only, preserve=preserve_digests),
            platform=Platform.parse(platform) if platform else None,
            every=every,
            also=also,
            source_client=source_client,
            target_client=target_client,
            progress=progress,
        )
    for note in copied.notes:
        click.echo(f"note: {note}", err=True)
    if destination.kind in (Kind.LAYOUT, Kind.OCI_ARCHIVE) and copied.image.media_type in mediatypes.TWINS:
        click.echo("note: it keeps docker's media types; tools that know only OCI's need --format oci", err=True)
    if digestfile is not None:
        Path(digestfile).write_text(str(copied.image.digest), encoding="ascii")
    if not quiet:
        if copied.was != copied.image.digest and origin.kind not in RAW:
            click.echo(f"note: digest {copied.was} became {copied.image.digest}", err=True)
        click.echo(str(copied.image.digest), err=Path(destination.path) in STREAMS)

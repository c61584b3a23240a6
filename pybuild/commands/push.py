"""`pybuild push`: an image to a registry, or to another place that has a name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pybuild.transfers import bars, connection
from pybuild.wiring import Context

if TYPE_CHECKING:
    from layers import Reference, Store


@click.command(
    epilog="\b\nExamples:\n  pybuild push registry.example.org/team/app:1.4\n  pybuild push app localhost:5000/app:1\n"
    "  pybuild push app oci:layout:1"
)
@click.argument("image")
@click.argument("destination", required=False)
@click.option("-a", "--all-tags", is_flag=True, help="Every tag of the repository.")
@click.option("-q", "--quiet", is_flag=True, help="Print only the reference.")
@click.option("--platform", metavar="PLATFORM", help="Only this image of an index.")
@click.option("--all", "every", is_flag=True, hidden=True)  # buildah's: what is here of an index always goes
@click.option("--digestfile", metavar="FILE", help="Write the digest of what was pushed there.")
@click.option(
    "-f",
    "--format",
    "kind",
    type=click.Choice(["oci", "docker", "v2s2"]),
    help="Media types; another digest comes of it.",
)
@click.option("--remove-signatures", is_flag=True, hidden=True)  # none are ever sent
@click.option("--disable-content-trust", is_flag=True, hidden=True)
@click.option(
    "--compression",
    "--compression-format",
    type=click.Choice(["gzip", "zstd", "uncompressed"]),
    default="gzip",
    help="Of layers built here.",
)
@click.option("--compression-level", type=int, metavar="LEVEL")
@connection
@click.pass_obj
def push(
    context: Context,
    image: str,
    destination: str | None,
    all_tags: bool,
    quiet: bool,
    platform: str | None,
    every: bool,
    digestfile: str | None,
    kind: str | None,
    remove_signatures: bool,
    disable_content_trust: bool,
    compression: str,
    compression_level: int | None,
) -> None:
    """Send IMAGE to the registry that its name (or DESTINATION) names."""
    from layers import Platform
    from layers.oci.address import Address, Kind
    from pybuild.copying import Form, copy

    if all_tags and (destination or digestfile):
        raise click.UsageError(
            "--all-tags sends each tag to where its name says: it takes no DESTINATION, no --digestfile"
        )
    names = tags(context.store, image) if all_tags else ()
    ways = [(str(name), Address(Kind.REGISTRY, "", str(name))) for name in names]
    if not all_tags:
        ways = [(image, Address.parse(destination or image, bare=Kind.REGISTRY))]
    codec = "none" if compression == "uncompressed" else compression
    kind = "docker" if kind == "v2s2" else kind
    if kind == "docker" and codec == "zstd":
        raise click.UsageError("docker's format knows no zstd: choose --format oci, or --compression gzip")
    form = Form(codec, compression_level, kind, raw_only=True)
    for name, where in ways:
        if not quiet and where.kind is Kind.REGISTRY:
            click.echo(f"The push refers to repository [{where.reference.repository}]")
        whole = platform is None and complete(context.store, name)
        with bars(context.settings.color, quiet=quiet, verb="pushed") as progress:
            sent = copy(
                context,
                Address(Kind.STORE, "", name),
                where,
                form=form,
                platform=Platform.parse(platform) if platform else None,
                every=whole,
                progress=progress,
            ).image
        if digestfile is not None:
            Path(digestfile).write_text(str(sent.digest), encoding="ascii")
        if where.kind is Kind.REGISTRY:
            context.note("push", where.reference.familiar)
        if quiet:
            click.echo(where.name if where.kind is Kind.REGISTRY else str(where))
        else:
            shown = (where.reference.tag or sent.digest) if where.kind is Kind.REGISTRY else where
            click.echo(f"{shown}: digest: {sent.digest} size: {sent.size}")


def tags(store: Store, image: str) -> tuple[Reference, ...]:
    """Every name of the store with a tag in a repository. Raises BlobMissing if there is none."""
    from layers import BlobMissing, Reference

    repository = Reference.parse(image, default_tag=False).repository
    found = tuple(name for name, _ in store.images.names() if name.repository == repository and name.tag)
    if not found:
        raise BlobMissing(f"a tag of {image}", f"the store {store.root}")
    return found


def complete(store: Store, name: str) -> bool:
    """True for a lone image, and for an index of which all images are here; else one of them is sent."""
    from layers import Index
    from layers.oci import mediatypes

    found = store.repository().resolve(name)
    if found.media_type not in mediatypes.INDEXES:
        return True
    index = Index.parse(store.blobs.read(found.digest), found.media_type)
    if all(store.images.document(entry.digest) for entry in index.manifests):
        return True
    click.echo(f"note: not every image of {name} is here, so only one is sent; see --platform", err=True)
    return False

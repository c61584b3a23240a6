"""`pybuild artifact`: any files in a registry, alone or attached to an image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pybuild.transfers import connection
from pybuild.wiring import Context

if TYPE_CHECKING:
    from layers import Descriptor, Reference

EPILOG = """
\b
Examples:
  pybuild artifact push localhost:5000/app:sbom sbom.json:application/spdx+json
  pybuild artifact push --subject localhost:5000/app:1 localhost:5000/app:sbom sbom.json
  pybuild artifact attach --type application/spdx+json localhost:5000/app:1 sbom.json
  pybuild artifact list localhost:5000/app:1
  pybuild artifact pull -o out localhost:5000/app:sbom"""


@click.group(epilog=EPILOG)
def artifact() -> None:
    """Send files to a registry and fetch them again."""


@artifact.command(
    epilog="\b\nExample:\n  pybuild artifact push localhost:5000/app:sbom sbom.json:application/spdx+json"
)
@click.argument("reference")
@click.argument("files", nargs=-1, required=True, metavar="FILE[:TYPE]...")
@click.option("--type", "kind", default="application/vnd.unknown.artifact.v1", metavar="TYPE", help="What it is.")
@click.option("--annotation", "annotations", multiple=True, metavar="KEY=VALUE", help="A note on it.")
@click.option("--subject", metavar="IMAGE", help="The image that it is about, in the same repository.")
@connection
@click.pass_obj
def push(
    context: Context, reference: str, files: Sequence[str], kind: str, annotations: Sequence[str], subject: str | None
) -> None:
    """Send FILEs as one artifact."""
    from layers import Reference

    target = Reference.parse(reference)
    about = None
    if subject is not None:
        image = Reference.parse(subject)
        if image.repository != target.repository:
            raise click.UsageError(f"the subject must lie in the same repository, {target.repository}")
        about = resolved(context, image)
    found = send(context, target, files, kind, annotations, about)
    click.echo(f"{target.tag}: digest: {found.digest} size: {found.size}")


@artifact.command(
    epilog="\b\nExample:\n  pybuild artifact attach --type application/spdx+json localhost:5000/app:1 sbom.json"
)
@click.argument("image")
@click.argument("files", nargs=-1, required=True, metavar="FILE[:TYPE]...")
@click.option("--type", "kind", default="application/vnd.unknown.artifact.v1", metavar="TYPE", help="What it is.")
@click.option("--annotation", "annotations", multiple=True, metavar="KEY=VALUE", help="A note on it.")
@connection
@click.pass_obj
def attach(context: Context, image: str, files: Sequence[str], kind: str, annotations: Sequence[str]) -> None:
    """Send FILEs as an artifact without a tag that is about IMAGE."""
    from layers import Reference
    from layers.quick import replace

    subject = Reference.parse(image)
    about = resolved(context, subject)
    found = send(context, replace(subject, tag=None, digest=None), files, kind, annotations, about)
    click.echo(f"{subject.repository}@{found.digest}")


@artifact.command(
    "list", epilog="\b\nExample:\n  pybuild artifact list --type application/spdx+json localhost:5000/app:1"
)
@click.argument("image")
@click.option("--type", "kind", metavar="TYPE", help="Only what is of this type.")
@click.option("--format", "template", metavar="TEMPLATE", help="A Go template, 'table TEMPLATE' or json.")
@click.option("-q", "--quiet", is_flag=True, help="Digests only.")
@connection
@click.pass_obj
def list_(context: Context, image: str, kind: str | None, template: str | None, quiet: bool) -> None:
    """List what is attached to IMAGE: SBOMs, signatures, provenance."""
    from layers import Reference
    from pybuild import units
    from pybuild.formats.table import emit
    from registry.referrers import referrers

    reference = Reference.parse(image)
    found = referrers(context.registry(reference).origin, resolved(context, reference).digest, kind)
    rows = [
        {
            "ArtifactType": entry.artifact_type or "",
            "Digest": str(entry.digest),
            "Size": units.size(entry.size),
            "Created": entry.annotations.get("org.opencontainers.image.created", ""),
        }
        for entry in found
    ]
    if quiet:
        for row in rows:
            click.echo(row["Digest"])
        return
    columns = {"ArtifactType": "TYPE", "Digest": "DIGEST", "Size": "SIZE", "Created": "CREATED"}
    emit(rows, columns, template)


@artifact.command(epilog="\b\nExample:\n  pybuild artifact pull -o out localhost:5000/app:sbom")
@click.argument("reference")
@click.option("-o", "--output", "folder", default=".", metavar="DIR", help="Where the files go (here).")
@connection
@click.pass_obj
def pull(context: Context, reference: str, folder: str) -> None:
    """Fetch the files of an artifact, every byte verified."""
    from layers import Reference
    from registry.artifacts import pull as fetch

    target = Reference.parse(reference)
    for path in fetch(context.registry(target).origin.client, target, Path(folder)):
        click.echo(str(path))


def resolved(context: Context, image: Reference) -> Descriptor:
    """What an image's name points to in its registry."""
    return context.registry(image).origin.resolve(str(image.digest or image.tag))


def send(
    context: Context,
    target: Reference,
    files: Sequence[str],
    kind: str,
    annotations: Sequence[str],
    subject: Descriptor | None,
) -> Descriptor:
    """Send files as one artifact."""
    from registry.artifacts import push

    notes = dict(note.partition("=")[::2] for note in annotations)
    client = context.registry(target).origin.client
    return push(client, target, files, artifact_type=kind, annotations=notes, subject=subject)

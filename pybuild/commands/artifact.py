"""`pybuild artifact`: any files in a registry, alone or attached to an image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from pybuild.transfers import connection
from pybuild.wiring import Context

EPILOG = """
\b
Examples:
  pybuild artifact push localhost:5000/app:sbom sbom.json:application/spdx+json
  pybuild artifact push --subject localhost:5000/app:1 localhost:5000/app:sbom sbom.json
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
    from registry.artifacts import push as send
    from registry.remote import RemoteRepository

    target = Reference.parse(reference)
    about = None
    if subject is not None:
        image = Reference.parse(subject)
        if image.repository != target.repository:
            raise click.UsageError(f"the subject must lie in the same repository, {target.repository}")
        about = RemoteRepository(image, context.client).resolve(str(image.digest or image.tag))
    notes = dict(note.partition("=")[::2] for note in annotations)
    found = send(context.client, target, files, artifact_type=kind, annotations=notes, subject=about)
    click.echo(f"{target.tag}: digest: {found.digest} size: {found.size}")


@artifact.command(epilog="\b\nExample:\n  pybuild artifact pull -o out localhost:5000/app:sbom")
@click.argument("reference")
@click.option("-o", "--output", "folder", default=".", metavar="DIR", help="Where the files go (here).")
@connection
@click.pass_obj
def pull(context: Context, reference: str, folder: str) -> None:
    """Fetch the files of an artifact, every byte verified."""
    from layers import Reference
    from registry.artifacts import pull as fetch

    for path in fetch(context.client, Reference.parse(reference), Path(folder)):
        click.echo(str(path))

"""`pybuild import`: an image from a tar of a file system."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from pybuild.wiring import Context


@click.command(
    "import",
    epilog="\b\nExamples:\n  pybuild import rootfs.tar.gz debian:mine\n"
    "  mmdebstrap bookworm - | pybuild import -c 'CMD [\"bash\"]' - debian:mine",
)
@click.argument("file")
@click.argument("name", required=False)
@click.option(
    "-c", "--change", "changes", multiple=True, metavar="INSTRUCTION", help="Set CMD, ENV, USER … (Dockerfile words)."
)
@click.option("-m", "--message", default="", help="The comment in the history.")
@click.option("--platform", metavar="PLATFORM", help="What the file system is for; by default this machine.")
@click.pass_obj
def import_(
    context: Context, file: str, name: str | None, changes: Sequence[str], message: str, platform: str | None
) -> None:
    """Make an image of one layer from FILE, a tar (plain, gzip, zstd, bzip2 or xz), or from standard input as -."""
    from pathlib import Path

    from builder.containers.changes import change
    from layers import History, ImageConfig, Platform, Reference
    from layers.home.ingest import bring
    from layers.oci.image import describe
    from pybuild.shaping import now

    if "://" in file:
        raise click.UsageError(
            f"{file}: nothing is fetched from URLs here; pipe it in: curl -fL {file} | pybuild import -"
        )
    if os.path.isdir(file):
        from shlex import quote

        raise click.UsageError(
            f"{file}: this is a directory; make a tar of it: tar -C {quote(file)} -c . | pybuild import -"
        )
    if file == "-" and sys.stdin.isatty():
        raise click.UsageError("standard input is a terminal: redirect a tar to it, or name a file")
    reference = Reference.parse(name) if name else None
    store = context.store
    with store.lease():
        if file == "-":
            layer = bring(store, sys.stdin.buffer)
        else:
            with Path(file).open("rb") as source:
                layer = bring(store, source)
        created = now()
        config = ImageConfig.build(
            platform=Platform.parse(platform) if platform else Platform.host(),
            diff_ids=[layer.diff_id],
            history=[History(created, f"pybuild import {file}", comment=message or f"Imported from {file}")],
            runtime=change({}, changes),
            created=created,
        )
        image = store.images.add(describe(config, [layer.descriptor]), config, [reference] if reference else [])
    click.echo(str(image.id))

"""`pybuild load`: images from a tar archive."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from pybuild.wiring import Context


@click.command(
    epilog="\b\nExamples:\n  pybuild load -i app.tar\n  docker save app | pybuild load\n"
    "  pybuild load --platform linux/arm64 -i app.tar"
)
@click.option("-i", "--input", "source", metavar="FILE", help="Read there instead of from standard input.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing when all goes well.")
@click.option("--platform", metavar="PLATFORM", help="Only this image of an index, by default all that are there.")
@click.pass_obj
def load(context: Context, source: str | None, quiet: bool, platform: str | None) -> None:
    """Take in the images of an OCI or docker archive, plain or compressed."""
    from layers import Platform
    from layers.moving.archive import load as read

    if source is None and sys.stdin.isatty():
        raise click.UsageError("no archive: add -i FILE, or redirect one to standard input")
    wanted = Platform.parse(platform) if platform else None
    with context.store.lease():
        if source is None:
            loaded = read(context.store, sys.stdin.buffer, wanted)
        else:
            with Path(source).open("rb") as file:
                loaded = read(context.store, file, wanted)
    if quiet:
        return
    for target, names in loaded:
        for name in names:
            click.echo(f"Loaded image: {name.familiar}")
        if not names:
            click.echo(f"Loaded image ID: {context.store.images.get(str(target.digest)).id}")

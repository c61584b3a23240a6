"""`pybuild export`: the files of a container or an image as one tar."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from pybuild.shaping import chosen
from pybuild.wiring import Context


@click.command(
    epilog="\b\nExamples:\n  pybuild export -o rootfs.tar app\n  pybuild export crashed | tar t\n"
    "  pybuild export app | pybuild import - app:flat"
)
@click.argument("source", metavar="CONTAINER|IMAGE")
@click.option("-o", "--output", "dest", metavar="FILE", help="Write there instead of to standard output.")
@chosen
@click.pass_obj
def export(context: Context, source: str, dest: str | None, platform: str | None) -> None:
    """Write the whole file system of a container, as it is now, or of an image as one tar.

    The layers are read as they lie, nothing is unpacked. What is mounted in a container does not belong to it.
    """
    from builder.containers import Containers
    from builder.containers.changes import tree as files_of
    from builder.containers.errors import ContainerMissing
    from builder.export import replacing
    from layers.merge import flat
    from pybuild.shaping import find

    if dest is None and sys.stdout.isatty():
        raise click.UsageError("an archive is not written to a terminal: add -o FILE, or redirect it")
    store = context.store
    with store.lease():
        try:
            container = None if platform else Containers(store).get(source)
        except ContainerMissing:
            container = None
        tree = files_of(store, container) if container else store.tree(find(context, source, platform).chain)
        with replacing(Path(dest or "/dev/stdout")) as sink:
            flat(tree, sink)

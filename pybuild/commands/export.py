"""`pybuild export`: the files of a container or an image as one tar."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from pybuild.shaping import chosen
from pybuild.userns import hand_over
from pybuild.wiring import Context


@click.command(
    epilog="\b\nExamples:\n  pybuild export -o rootfs.tar app\n  pybuild export crashed | tar t\n"
    "  pybuild export app | pybuild import - app:flat"
)
@click.argument("source", metavar="CONTAINER|IMAGE[@N]")
@click.option("-o", "--output", "dest", metavar="FILE", help="Write there instead of to standard output.")
@chosen
@click.pass_obj
def export(context: Context, source: str, dest: str | None, platform: str | None) -> None:
    """Write the whole file system of a container, as it is now, of an image, or of its first N layers as one tar.

    The layers are read as they lie, nothing is unpacked. What is mounted in a container does not belong to it.
    """
    from builder.containers.changes import tree as files_of
    from builder.export import replacing
    from layers.making.merge import flat
    from pybuild.subject import image, subject

    if dest is None and sys.stdout.isatty():
        raise click.UsageError("an archive is not written to a terminal: add -o FILE, or redirect it")
    store = context.store
    with store.lease():
        if platform:
            tree = store.tree(image(store, source, platform).chain)
        else:
            what = subject(store, source)
            if what.container is not None:
                tree = files_of(store, what.container)
            elif what.chain is not None:
                tree = store.tree(what.chain)
            else:
                raise click.UsageError(
                    f"{source} is no container, image or step: only those have a whole file system here"
                )
        with replacing(Path(dest or "/dev/stdout")) as sink:
            flat([("", tree)], sink)
        if dest is not None and Path(dest).is_file():
            hand_over(Path(dest))

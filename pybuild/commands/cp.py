"""`pybuild cp`: files between a container and the host."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from pybuild.wiring import Context


@click.command(
    epilog="\b\nExamples:\n  pybuild cp crashed:/var/log/app.log .\n  pybuild cp app.conf web:/etc/\n"
    "  pybuild cp crashed:/etc/. etc-of-it\n  pybuild cp crashed:/var/log - | tar t"
)
@click.argument("source")
@click.argument("dest")
@click.option("-a", "--archive", is_flag=True, help="Keep owners.")
@click.option("-q", "--quiet", is_flag=True, help="Accepted: it says nothing anyway.")
@click.pass_obj
def cp(context: Context, source: str, dest: str, archive: bool, quiet: bool) -> None:
    """Copy SOURCE to DEST; one of them is CONTAINER:PATH. DEST - writes a tar to standard output."""
    import os

    from builder.containers import Containers
    from builder.containers.copying import copy, host, root_of

    left, right = split(source), split(dest)
    if (left is None) == (right is None):
        raise click.UsageError("one of the two must be CONTAINER:PATH, and the other a path on this machine")
    book = Containers(context.store)
    if left is not None:
        name, path = left
        with root_of(context.store, book.get(name)) as root:
            if dest == "-":
                stream(root.fd, path)
                return
            ours, place = host(dest)
            with ours:
                copy(root, path or "/", ours, place, owner=None if archive else (os.getuid(), os.getgid()))
        return
    assert right is not None
    name, path = right
    ours, place = host(source)
    with ours, root_of(context.store, book.get(name)) as root:
        copy(ours, place, root, path or "/", owner=None if archive else (0, 0))


def split(text: str) -> tuple[str, str] | None:
    """CONTAINER and PATH; None for a path on this machine."""
    name, colon, path = text.partition(":")
    if not colon or "/" in name or name.startswith(".") or not name:
        return None
    return name, path


def stream(root: int, path: str) -> None:
    """A tar of a file or directory on standard output."""
    import tarfile

    clean = Path("/" + path).resolve() if ".." in path else Path("/" + path.strip("/"))
    place = Path(f"/proc/self/fd/{root}") / str(clean).lstrip("/")
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        tar.add(place, arcname=clean.name or ".")

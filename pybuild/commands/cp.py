"""`pybuild cp`: files between a container and the host, or out of an image."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import click

from pybuild.userns import stand
from pybuild.wiring import Context

if TYPE_CHECKING:
    from builder.containers import Container
    from builder.containers.copying import Inside
    from layers import Image


@click.command(
    epilog="\b\nExamples:\n  pybuild cp crashed:/var/log/app.log .\n  pybuild cp app.conf web:/etc/\n"
    "  pybuild cp crashed:/etc/. etc-of-it\n  pybuild cp crashed:/var/log - | tar t\n"
    "  tar c conf | pybuild cp - web:/etc\n  pybuild cp app:1:/etc/app.conf ."
)
@click.argument("source")
@click.argument("dest")
@click.option("-a", "--archive", is_flag=True, help="Keep owners.")
@click.option("-L", "--follow-link", "follow", is_flag=True, help="Of a link in SOURCE, what it leads to.")
@click.option("-q", "--quiet", is_flag=True, help="Accepted: it says nothing anyway.")
@click.pass_obj
def cp(context: Context, source: str, dest: str, archive: bool, follow: bool, quiet: bool) -> None:
    """Copy SOURCE to DEST; one of them is CONTAINER:PATH, and "-" for the other one a tar on our standard streams.

    SOURCE may be IMAGE:/PATH, too, of an image of the store: no container is made for that.
    """
    from builder.containers.errors import PathInvalid

    try:
        carry(context, source, dest, archive=archive, follow=follow)
    except RecursionError:
        raise PathInvalid(f"{source}: it has too many directories in each other, or holds its own copy") from None


def carry(context: Context, source: str, dest: str, *, archive: bool, follow: bool) -> None:
    """Do it. Raises PathInvalid, ContainerMissing, ContainerState; RecursionError for what is endless."""
    from builder.containers import copying
    from layers.disk.paths import Root
    from runner import remap

    left, right = split(source), split(dest)
    picture = pictured(context, source, left) if right is None else None
    if (left is not None or picture is not None) and right is None:
        with looked_into(context, picture or left) as (inside, path):
            if dest == "-":
                copying.archive(inside, copying.place(path), sys.stdout.buffer)
                return
            owner = inside.known if archive else lambda *_: remap.own()
            with Root("/") as ours:
                there = copying.place(dest, os.getcwd())
                copying.copy(inside.root, copying.place(path), ours, there, owner=owner, follow=follow)
    elif right is not None and left is None:
        name, path = right
        with copying.root_of(context.store, named(context, name)) as inside:
            if source == "-":
                copying.extract(context.store, sys.stdin.buffer, inside, copying.place(path))
                return
            owner = inside.seen if archive else lambda *_: inside.seen(0, 0)
            with Root("/") as ours, inside.making():
                here = copying.place(source, os.getcwd())
                copying.copy(ours, here, inside.root, copying.place(path), owner=owner, follow=follow)
    else:
        raise click.UsageError("one of the two must be CONTAINER:PATH, and the other a path on this machine")


def pictured(context: Context, source: str, left: tuple[str, str] | None) -> tuple[Image, str] | None:
    """The image of the store that a source means, and the path there; None if it means something else."""
    from builder.containers import Containers
    from builder.containers.errors import ContainerMissing
    from layers import BlobMissing, DigestInvalid, ReferenceInvalid

    if left is not None:
        try:
            Containers(context.store).get(left[0])
        except ContainerMissing:
            pass
        else:
            return None
    at = source.rfind(":/")
    while at > 0:
        with suppress(BlobMissing, DigestInvalid, ReferenceInvalid):
            return context.store.images.get(source[:at]), source[at + 1 :]
        at = source.rfind(":/", 0, at)
    return None


@contextmanager
def looked_into(context: Context, what: tuple[Image | str, str] | None) -> Iterator[tuple[Inside, str]]:
    """The files of an image, or of a container by its name, and the path in there."""
    from builder.containers import copying
    from layers.disk.paths import Root
    from runner import Ids

    assert what is not None
    place, path = what
    if isinstance(place, str):
        with copying.root_of(context.store, named(context, place)) as inside:
            yield inside, path
        return
    with (
        context.store.lease(),
        context.store.snapshots.view(place.chain, original=True) as files,
        Root(files) as root,
    ):
        yield copying.Inside(root, Ids.same()), path


def named(context: Context, name: str) -> Container:
    """The container; one that does not run is looked into by whoever knows users as it does."""
    from builder.containers import Containers

    found = Containers(context.store).get(name)
    if not found.state().pid:
        stand(found.settings.userns)
    return found


def split(text: str) -> tuple[str, str] | None:
    """CONTAINER and PATH; None for a path on this machine."""
    name, colon, path = text.partition(":")
    if not colon or "/" in name or name.startswith(".") or not name:
        return None
    return name, path

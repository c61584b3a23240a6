"""What the commands that make images of images have in common: options, the time, and how they end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pybuild.wiring import Context

if TYPE_CHECKING:
    from layers import Image, ImageConfig, Manifest, NewLayer
    from layers.oci.address import Address

Command = TypeVar("Command", bound=Callable[..., Any])


def name_of(_: click.Context, __: click.Parameter, text: str | None) -> Address | None:
    """See `place`."""
    return place(text)


def place(text: str | None) -> Address | None:
    """Where an image can be put: under a name in the store, or at another place. Raises ReferenceInvalid."""
    from layers import ReferenceInvalid
    from layers.oci.address import Address, Kind
    from pybuild.addressing import given

    if not text:
        return None
    address = Address.parse(text)
    if address.kind is Kind.STORE and address.reference.digest is not None:
        raise ReferenceInvalid(text, "a tag cannot carry a digest")
    given(address)
    return address


def named(command: Command) -> Command:
    """Add --tag: the name of the result."""
    what = "Name of the new image, or another place for it: oci:DIR:NAME, docker://REF, ..."
    return click.option("-t", "--tag", "name", callback=name_of, metavar="NAME[:TAG]", help=what)(command)


def chosen(command: Command) -> Command:
    """Add --platform: which image of an index."""
    option = click.option("--platform", metavar="OS/ARCH", help="Which image of an index, by default this machine's.")
    return option(command)


def keep(context: Context, manifest: Manifest, config: ImageConfig, target: Address | None) -> Image:
    """Keep an image under a name, or none, or send it to another place; print its id."""
    from layers.oci.address import Kind

    names = [target.reference] if target is not None and target.kind is Kind.STORE else []
    image = context.store.images.add(manifest, config, names)
    if target is not None and not names:
        send(context, image, target)
    click.echo(str(image.id))
    return image


def send(context: Context, image: Image, target: Address) -> None:
    """Copy an image of the store elsewhere, as `copy` does. Raises what the place raises."""
    from layers.oci.address import Address, Kind
    from pybuild.copying import Form, copy

    copy(context, Address(Kind.STORE, "", str(image.target.digest)), target, form=Form())


def now() -> str:
    """The time that new documents carry: SOURCE_DATE_EPOCH, or the clock. Raises click.UsageError."""
    from layers.oci.documents import timestamp

    said = os.environ.get("SOURCE_DATE_EPOCH")
    if said and not said.isdigit():
        raise click.UsageError(f"SOURCE_DATE_EPOCH={said!r} in the environment is no number of seconds")
    return timestamp(datetime.fromtimestamp(int(said), UTC) if said else datetime.now(UTC))


def warn(sentence: str) -> None:
    """Tell something that the user should know, on stderr."""
    from pybuild.exits import tell

    tell(f"warning: {sentence}")


def bring(context: Context, tars: Sequence[str]) -> list[NewLayer]:
    """Each tar, in any compression, as a layer; "-" is standard input. Raises ArchiveInvalid, UnsafePath, OSError."""
    from layers import ArchiveInvalid
    from layers.home.ingest import bring as read

    if tars.count("-") > 1:
        raise click.UsageError("standard input can be only one of the layers")
    if "-" in tars and sys.stdin.isatty():
        raise click.UsageError("standard input is a terminal: redirect a tar to it, or name a file")
    layers = []
    for text in tars:
        if text == "-":
            layer = read(context.store, sys.stdin.buffer)
        else:
            with Path(text).open("rb") as source:
                layer = read(context.store, source)
        if not len(context.store.toc(layer.diff_id)):
            raise ArchiveInvalid(f"{text} holds nothing, so that there is no layer to append")
        layers.append(layer)
    return layers

"""`pybuild volume`: directories that containers share by name, and that outlive them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import click

from pybuild.asking import removing
from pybuild.commands import exists
from pybuild.formats import filters as wanted
from pybuild.variables import pairs
from pybuild.wiring import Context

if TYPE_CHECKING:
    from builder.containers.volumes import LocalVolume, Volumes

EPILOG = """
\b
Examples:
  pybuild volume create data
  pybuild run --rm -v data:/var/lib/app app
  pybuild volume prune --all"""
COLUMNS = {"Driver": "DRIVER", "Name": "VOLUME NAME"}
FILTERS = ("dangling", "driver", "label", "name")


@click.group(epilog=EPILOG)
def volume() -> None:
    """Volumes: directories of the store that containers share by name, and that outlive them."""


volume.add_command(exists.volume)


@volume.command(
    epilog="\b\nExamples:\n  pybuild volume create data\n"
    "  pybuild volume create -o type=none -o o=bind -o device=/srv/data data"
)
@click.argument("name", required=False)
@click.option("-d", "--driver", type=click.Choice(["local"]), default="local", help="local is what there is.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="A label.")
@click.option("-o", "--opt", "opts", multiple=True, metavar="KEY=VALUE", help="type=none, o=bind and device=DIR.")
@click.pass_obj
def create(context: Context, name: str | None, driver: str, labels: Sequence[str], opts: Sequence[str]) -> None:
    """Make a volume, unless it is there; prints its name. Without NAME it gets one, and counts as anonymous."""
    made = _book(context).create(
        name or "",
        labels=pairs("--label", labels),
        options=pairs("--opt", opts),
    )
    click.echo(made.name)


@volume.command("ls", epilog="\b\nExamples:\n  pybuild volume ls\n  pybuild volume ls -q --filter dangling=true")
@click.option("-q", "--quiet", is_flag=True, help="Only names.")
@click.option("-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help=f"{', '.join(FILTERS)}.")
@click.option("--format", "template", metavar="TEMPLATE", help="A Go template, 'table TEMPLATE' or json.")
@click.pass_obj
def list_(context: Context, quiet: bool, filters: Sequence[str], template: str | None) -> None:
    """List volumes."""
    from pybuild.formats.table import emit
    from pybuild.formats.template import Labelled

    rules = wanted.parse(filters, FILTERS)
    book = _book(context)
    found = [one for one in book.list() if wanted.fits(rules, one.labels, partial(_matches, book, one))]
    if quiet:
        for one in found:
            click.echo(one.name)
        return
    rows = [
        Labelled(
            one.labels,
            Driver="local",
            Name=one.name,
            Scope="local",
            Mountpoint=str(one.mountpoint),
            Labels=",".join(f"{key}={value}" for key, value in one.labels.items()),
        )
        for one in found
    ]
    emit(rows, COLUMNS, template)


@volume.command(
    epilog="\b\nExamples:\n  pybuild volume inspect data\n  pybuild volume inspect -f '{{.Mountpoint}}' data"
)
@click.argument("names", nargs=-1, required=True, metavar="VOLUME...")
@click.option("-f", "--format", "template", metavar="TEMPLATE", help="A Go template, or json.")
@click.pass_obj
def inspect(context: Context, names: Sequence[str], template: str | None) -> int:
    """Show all that is known of volumes, as JSON."""
    from builder.containers.volumes import VolumeMissing
    from pybuild.formats.described import describe

    return describe(names, lambda name: _book(context).get(name).describe(), VolumeMissing, template)


@volume.command(epilog="\b\nExample:\n  pybuild volume rm data")
@click.argument("names", nargs=-1, required=True, metavar="VOLUME...")
@click.option("-f", "--force", is_flag=True, help="Do not mind those that are not there.")
@click.pass_obj
def rm(context: Context, names: Sequence[str], force: bool) -> int:
    """Remove volumes, and what is in them, that no container refers to."""
    from builder.containers.volumes import VolumeError, VolumeMissing
    from pybuild.exits import tell

    failed = False
    for name in names:
        try:
            book = _book(context)
            book.remove(book.get(name))
            click.echo(name)
        except VolumeError as error:
            if force and isinstance(error, VolumeMissing):
                click.echo(name)
                continue
            failed = True
            tell(f"error: {error}")
    return int(failed)


@volume.command(epilog="\b\nExample:\n  pybuild volume prune -f --all --filter label!=keep")
@click.option("-a", "--all", "everything", is_flag=True, help="Also those with a name.")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--filter", "filters", multiple=True, metavar="KEY=VALUE", help="label=KEY, label!=KEY, all=true.")
@click.pass_obj
def prune(context: Context, everything: bool, force: bool, filters: Sequence[str]) -> None:
    """Remove the volumes without a name that no container, running or not, refers to."""
    from layers.home.eventlog import EventLog
    from pybuild import units

    rules = wanted.parse(filters, ("all", "label", "label!"))
    everything = everything or any(map(wanted.boolean, rules.get("all", ())))
    if not force:
        what = f"all volumes{'' if everything else ' without a name'} that no container refers to, with their files"
        removing(what)
    gone, freed = unused(context, rules, everything=everything)
    EventLog(context.store.root).append("volume", "prune", "", {"reclaimed": str(freed)})
    if gone:
        click.echo("Deleted Volumes:\n" + "\n".join(gone) + "\n")
    click.echo(f"Total reclaimed space: {units.size(freed)}")


def unused(
    context: Context, rules: dict[str, list[str]], *, everything: bool = False, dry: bool = False
) -> tuple[list[str], int]:
    """Remove volumes that nobody refers to, or only look: their names, and the bytes that they take."""
    from builder.containers.volumes import VolumeInUse, VolumeMissing
    from layers.home.sizes import disk_usage

    book, gone, freed = _book(context), [], 0
    for one in book.list():
        if not (everything or one.is_anonymous) or book.users(one.name):
            continue
        if not wanted.fits(rules, one.labels):
            continue
        held = disk_usage(one.mountpoint)
        try:
            if not dry:
                book.remove(one)
        except (VolumeInUse, VolumeMissing):  # somebody was quicker
            continue
        gone.append(one.name)
        freed += held
    return gone, freed


def _book(context: Context) -> Volumes:
    from builder.containers.volumes import Volumes

    return Volumes(context.store)


def _matches(book: Volumes, one: LocalVolume, key: str, value: str) -> bool:
    match key:
        case "name":
            return wanted.named(one.name, value)
        case "driver":
            return value == "local"
        case _:
            return wanted.boolean(value) != bool(book.users(one.name))


NAMES = {"list": "ls", "remove": "rm"}
for _other, _name in NAMES.items():
    _twin = volume.commands[_name]
    volume.add_command(
        click.Command(
            _other, callback=_twin.callback, params=_twin.params, help=_twin.help, epilog=_twin.epilog, hidden=True
        )
    )

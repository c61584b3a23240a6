"""`pybuild container prune`: all containers that do not run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress

import click

from pybuild import units
from pybuild.formats import filters as wanted
from pybuild.wiring import Context

FILTERS = ("until", "label", "label!")


@click.command(epilog="\b\nExample:\n  pybuild container prune -f --filter until=24h")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--filter", "filters", multiple=True, metavar="KEY=VALUE", help=f"{', '.join(FILTERS)}.")
@click.pass_obj
def prune(context: Context, force: bool, filters: Sequence[str]) -> None:
    """Remove all containers that do not run."""
    from builder.containers import Containers, ContainerState
    from builder.containers.state import LIVE
    from layers.home.eventlog import EventLog
    from layers.home.sizes import disk_usage
    from pybuild.commands.prune import chosen

    rules = chosen(wanted.parse(filters, FILTERS), None)
    if not force:
        if not sys.stdin.isatty():
            raise click.UsageError("this removes every container that does not run; say --force where nobody is asked")
        if not click.confirm("This removes every container that does not run. Go on?", err=True):
            raise click.ClickException("nothing was removed")
    book = Containers(context.store)
    gone, freed = [], 0
    for one in book.list():
        created = units.moment(one.settings.created)
        late = rules["until"] is not None and (created is None or created.timestamp() > rules["until"])
        labels = rules["labelled"]
        if late or one.state().status in LIVE or (labels is not None and not labels(one.settings.labels)):
            continue
        held = disk_usage(one.folder)
        with suppress(ContainerState):  # somebody has just started it
            book.remove(one)
            gone.append(one.id)
            freed += held
    EventLog(context.store.root).append("container", "prune", "", {"reclaimed": str(freed)})
    if gone:
        click.echo("Deleted Containers:\n" + "\n".join(gone) + "\n")
    click.echo(f"Total reclaimed space: {units.size(freed)}")

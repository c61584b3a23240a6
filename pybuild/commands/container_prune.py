"""`pybuild container prune`: all containers that do not run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from pybuild import units
from pybuild.asking import removing
from pybuild.formats import filters as wanted
from pybuild.wiring import Context

if TYPE_CHECKING:
    from builder.containers import Container

FILTERS = ("until", "label", "label!")


@click.command(epilog="\b\nExample:\n  pybuild container prune -f --filter until=24h")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--filter", "filters", multiple=True, metavar="KEY=VALUE", help=f"{', '.join(FILTERS)}.")
@click.pass_obj
def prune(context: Context, force: bool, filters: Sequence[str]) -> None:
    """Remove all containers that do not run."""
    from builder.containers import Containers, ContainerState
    from layers.home.eventlog import EventLog
    from layers.home.sizes import disk_usage
    from pybuild.commands.prune import chosen

    rules = chosen(wanted.parse(filters, FILTERS), None)
    if not force:
        removing("every container that does not run")
    book = Containers(context.store)
    gone, freed = [], 0
    for one in idle(context, rules):
        held = disk_usage(one.folder)
        with suppress(ContainerState):  # somebody has just started it
            book.remove(one)
            gone.append(one.id)
            freed += held
    EventLog(context.store.root).append("container", "prune", "", {"reclaimed": str(freed)})
    if gone:
        click.echo("Deleted Containers:\n" + "\n".join(gone) + "\n")
    click.echo(f"Total reclaimed space: {units.size(freed)}")


def idle(context: Context, rules: Mapping[str, Any]) -> list[Container]:
    """Containers that do not run and fit the filters, as `prune.chosen` has them."""
    from builder.containers import Containers
    from builder.containers.state import LIVE

    found = []
    for one in Containers(context.store).list():
        created = units.moment(one.settings.created)
        late = rules["until"] is not None and (created is None or created.timestamp() > rules["until"])
        labels = rules["labelled"]
        if not late and one.state().status not in LIVE and (labels is None or labels(one.settings.labels)):
            found.append(one)
    return found

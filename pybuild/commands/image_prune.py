"""`pybuild image prune`: images that nobody uses, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import click

from pybuild import units
from pybuild.asking import removing
from pybuild.formats import filters as wanted
from pybuild.wiring import Context

FILTERS = ("dangling", "until", "label", "label!")


@click.command(epilog="\b\nExamples:\n  pybuild image prune -f\n  pybuild image prune -af --filter until=24h")
@click.option("-a", "--all", "everything", is_flag=True, help="Also images with a name that no container uses.")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--filter", "filters", multiple=True, metavar="KEY=VALUE", help=f"{', '.join(FILTERS)}.")
@click.pass_obj
def prune(context: Context, everything: bool, force: bool, filters: Sequence[str]) -> None:
    """Remove images without a name that no container uses; what builds have kept stays."""
    from layers import prune as collect
    from pybuild.commands.prune import chosen

    rules = wanted.parse(filters, FILTERS)
    everything = everything or any(not wanted.boolean(text) for text in rules.get("dangling", ()))
    choice = chosen(rules, None)
    if not force:
        removing("all images that no container uses" if everything else "all images without a name")
    found = collect(context.store, all=everything, cache=False, **choice)
    lines = [*(f"untagged: {name.familiar}" for name in found.names), *(f"deleted: {one}" for one in found.images)]
    if lines:
        click.echo("Deleted Images:\n" + "\n".join(lines) + "\n")
    click.echo(f"Total reclaimed space: {units.size(found.bytes)}")

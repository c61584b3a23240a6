"""`pybuild prune`: what nothing uses any more."""

from __future__ import annotations

import sys
import time

import click

from pybuild import units
from pybuild.wiring import Context


@click.command(epilog="\b\nExamples:\n  pybuild prune --force\n  pybuild prune --all --until 24h")
@click.option("-a", "--all", "everything", is_flag=True, help="Also named images without a container, and the cache.")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--containers/--no-containers", default=False, help="Also containers that do not run.")
@click.option("--until", metavar="AGE", help="Only what was last used so long ago, as in 24h.")
@click.pass_obj
def prune(context: Context, everything: bool, force: bool, containers: bool, until: str | None) -> None:
    """Remove images without a name, results that no image or build needs, and what crashes left.

    What a running build or a container uses stays.
    """
    from layers import prune as collect

    moment = None
    if until is not None:
        try:
            moment = time.time() - units.parse_period(until)
        except ValueError as error:
            raise click.UsageError(f"--until: {error}") from error
    if not force:
        what = "every image that no container uses, and the build cache" if everything else "images without a name"
        if not sys.stdin.isatty():
            raise click.UsageError(f"this removes {what}; say --force where nobody can be asked")
        what += ", and every container that does not run" if containers else ""
        if not click.confirm(f"This removes {what}. Go on?", err=True):
            raise click.ClickException("nothing was removed")
    context.sweep()
    if containers:
        from builder.containers import Containers
        from builder.containers.book import LIVE

        book = Containers(context.store)
        for one in book.list():
            if one.state().status not in LIVE:
                book.remove(one)
                click.echo(f"Deleted container: {one.name}")
    found = collect(context.store, all=everything, until=moment)
    for name in found.names:
        click.echo(f"Untagged: {name.familiar}")
    for image in found.images:
        click.echo(f"Deleted: {image}")
    click.echo(f"Total reclaimed space: {units.size(found.bytes)}")

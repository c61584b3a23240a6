"""`pybuild cache`: what builds have kept: listed, explained, removed."""

from __future__ import annotations

from collections.abc import Sequence

import click

from pybuild import units
from pybuild.asking import removing
from pybuild.formats import filters as wanted
from pybuild.formats.table import emit
from pybuild.wiring import Context

COLUMNS = {
    "ID": "ID",
    "Reclaimable": "RECLAIMABLE",
    "Size": "SIZE",
    "LastAccessed": "LAST ACCESSED",
    "Type": "TYPE",
    "Description": "DESCRIPTION",
}
FILTER = click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="KEY=VALUE",
    help="id=, type=regular|exec.cachemount|source.local|internal, description=, until=AGE (last used before).",
)


@click.group(
    epilog="\b\nExamples:\n  pybuild cache ls\n  pybuild cache explain\n  pybuild cache rm /root/.cache/pip\n"
    "  pybuild cache prune --filter until=24h"
)
def cache() -> None:
    """What builds have kept: results of steps and the directories of cache mounts."""


@cache.command(
    "ls",
    epilog="\b\nExamples:\n  pybuild cache ls\n  pybuild cache ls --filter type=exec.cachemount\n"
    "  pybuild cache ls --format json",
)
@FILTER
@click.option("--format", "template", metavar="TEMPLATE", help="A Go template, 'table TEMPLATE' or json.")
@click.option("-q", "--quiet", is_flag=True, help="Only ids.")
@click.option("-v", "--verbose", is_flag=True, help="Also what is kept to find and explain results.")
@click.pass_obj
def listed(context: Context, filters: Sequence[str], template: str | None, quiet: bool, verbose: bool) -> None:
    """List everything that builds have kept, what was used last first.

    Reclaimable is what no image, container or running command needs. Sizes are blocks on the disk; what two
    results share is counted for both, but once in the total.
    """
    from pybuild.cachelist import FILTERS, filtered, items, row, total

    found = filtered(items(context.store), wanted.parse(filters, FILTERS))
    if not verbose and not filters:
        found = [one for one in found if one.type != "internal"]
    if quiet:
        for one in found:
            click.echo(one.id)
        return
    emit([row(one, full=template is not None) for one in found], COLUMNS, template)
    if template is None:
        click.echo(f"Reclaimable: {units.size(total([one for one in found if one.reclaimable]))}")
        click.echo(f"Total: {units.size(total(found))}")


@cache.command(
    epilog="\b\nExamples:\n  pybuild cache prune --force\n  pybuild cache prune --all --filter until=24h\n"
    "  pybuild cache prune --filter type=exec.cachemount --dry-run\n  pybuild cache prune --keep-storage 10g --force"
)
@click.option("-a", "--all", "everything", is_flag=True, help="Also results that images have, and cache mounts.")
@FILTER
@click.option(
    "--keep-storage",
    "--max-used-space",
    "--reserved-space",
    metavar="SIZE",
    help="Leave so much: what was used longest ago goes first.",
)
@click.option("--verbose", is_flag=True, hidden=True)
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.pass_obj
def prune(
    context: Context,
    everything: bool,
    filters: Sequence[str],
    keep_storage: str | None,
    verbose: bool,
    force: bool,
    dry_run: bool,
) -> None:
    """Remove results that no image needs; images stay, and what a running build uses.

    With filters, everything that fits all of them and that nobody needs goes, whatever kind it is.
    """
    from pybuild.cachelist import FILTERS

    chosen = wanted.parse(filters, FILTERS)
    if not force and not dry_run:
        removing("results that builds have kept")
    if chosen.keys() - {"until", "unused-for"}:
        if keep_storage is not None:
            raise click.UsageError("--keep-storage goes with filters of age only")
        freed = by_kind(context, chosen, everything=everything, dry=dry_run)
    else:
        from layers import prune as collect

        moments = [units.parse_moment(text) for texts in chosen.values() for text in texts]
        keep = None if keep_storage is None else units.parse_size(keep_storage)
        until = min(moments, default=None)
        found = collect(context.store, all=everything, images=False, until=until, keep=keep, dry=dry_run)
        click.echo(f"Results: {found.counts.get('records', 0)}, {units.size(found.sizes.get('cache', 0))}")
        if everything:
            click.echo(f"Cache mounts: {found.counts.get('caches', 0)}, {units.size(found.sizes.get('caches', 0))}")
        freed = found.bytes
    click.echo(f"Total{' reclaimable' if dry_run else ''}: {units.size(freed)}")


def by_kind(context: Context, chosen: dict[str, list[str]], *, everything: bool, dry: bool) -> int:
    """Remove what fits filters, told one by one; the bytes that were freed, or would be."""
    from pybuild.cachelist import filtered, items, remove

    found = [one for one in filtered(items(context.store), chosen) if everything or one.reclaimable]
    for one in found:
        click.echo(f"{'Would delete' if dry else 'Deleted'}: {one.id} {one.description}")
    return sum(one.size for one in found if one.reclaimable) if dry else remove(context.store, found)


@cache.command("rm", epilog="\b\nExamples:\n  pybuild cache rm 0a1b2c3d4e5f\n  pybuild cache rm /root/.cache/pip")
@click.argument("names", metavar="ID|MOUNT...", nargs=-1, required=True)
@click.pass_obj
def removed(context: Context, names: Sequence[str]) -> None:
    """Remove results by id, and cache mounts by id or name."""
    from pybuild.cachelist import chosen, items, remove

    there = items(context.store)
    found = [one for name in names for one in chosen(there, name)]
    busy = [one for one in found if one.mount is not None and not one.reclaimable]
    if busy:
        raise click.ClickException(f"{busy[0].description} is in use: a build runs with it")
    freed = remove(context.store, found)
    for one in found:
        click.echo(one.id)
    click.echo(f"Total: {units.size(freed)}")


@cache.command(
    epilog="\b\nExamples:\n  pybuild cache explain\n  pybuild cache explain 'RUN make*'\n"
    "  pybuild cache explain --image app --format json"
)
@click.argument("step", required=False)
@click.option("--image", metavar="IMAGE", help="The build of this image, by default the last one of all.")
@click.option("--format", "template", metavar="TEMPLATE", help="A Go template, 'table TEMPLATE' or json.")
@click.pass_obj
def explain(context: Context, step: str | None, image: str | None, template: str | None) -> None:
    """Say why steps of a build ran: the inputs that differed from the nearest result that there was.

    STEP is STAGE/NUMBER, a line of the Dockerfile, or words as in 'RUN make*'.
    """
    from pybuild.explained import rows, words

    found = rows(context.store, step, image)
    if template is not None:
        emit([data for data, _ in found], {"Step": "STEP", "Reason": "WHY"}, template)
        return
    for line in words(context.store, found, image):
        click.echo(line)

"""`pybuild system`: what takes space, whether everything is whole, what this machine is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import click

from pybuild import units
from pybuild.asking import removing
from pybuild.commands.events import events
from pybuild.formats.table import emit
from pybuild.wiring import Context

COLUMNS = {
    "Type": "TYPE",
    "TotalCount": "TOTAL",
    "Active": "ACTIVE",
    "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}
KINDS = {
    "images": "Images",
    "containers": "Containers",
    "volumes": "Local Volumes",
    "cache": "Build Cache",
    "snapshots": "Unpacked Layers",
    "caches": "Cache Mounts",
    "leftovers": "Leftovers",
    "bookkeeping": "Bookkeeping",
}


@click.group(epilog="\b\nExamples:\n  pybuild system df\n  pybuild system check --repair\n  pybuild system info")
def system() -> None:
    """Disk usage, checks and facts about this machine."""


@system.command(epilog="\b\nExamples:\n  pybuild system df\n  pybuild system df -v\n  pybuild system df --format json")
@click.option("-v", "--verbose", is_flag=True, help="Each image, container, volume and cache record.")
@click.option("--format", "template", metavar="TEMPLATE", help="A Go template, 'table TEMPLATE' or json.")
@click.pass_obj
def df(context: Context, verbose: bool, template: str | None) -> None:
    """Show what takes space in the store, and what 'prune --all' could free of it.

    Sizes are blocks on the disk. What two kinds need is counted for the first of them only, so the sizes add up.
    """
    if verbose:
        if template is not None:
            raise click.UsageError("--format says how to show the table without -v")
        from pybuild.inventory import show

        show(context)
        return
    from layers import usage

    found = usage(context.store)
    rows = []
    for name, title in KINDS.items():
        share = getattr(found, name)
        percent = f" ({100 * share.reclaimable // share.size}%)" if share.size else ""
        rows.append(
            {
                "Type": title,
                "TotalCount": str(share.total),
                "Active": str(share.active),
                "Size": units.size(share.size),
                "Reclaimable": f"{units.size(share.reclaimable)}{percent}",
            }
        )
    emit(rows, COLUMNS, template)


@system.command("prune", epilog="\b\nExamples:\n  pybuild system prune -f\n  pybuild system prune -af --volumes")
@click.option("-a", "--all", "everything", is_flag=True, help="Also named images without a container, and the cache.")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--volumes", is_flag=True, help="Also volumes without a name that no container refers to.")
@click.option("--filter", "filters", multiple=True, metavar="KEY=VALUE", help="until=24h, label=KEY, label!=KEY.")
@click.pass_context
def prune_(context: click.Context, everything: bool, force: bool, volumes: bool, filters: Sequence[str]) -> None:
    """Remove containers that do not run, networks that none of them is in, and what `pybuild prune` does."""
    from pybuild.commands.network import unused
    from pybuild.commands.prune import chosen, prune
    from pybuild.formats import filters as wanted

    rules = wanted.parse(filters, ("until", "label", "label!"))
    chosen(rules, None, volumes=volumes)  # mistakes are told before anything goes
    if not force:
        what = "all containers that do not run, networks without containers, "
        what += "images without a container and the build cache" if everything else "and images without a name"
        what += ", and volumes without a name" if volumes else ""
        removing(what)
    context.invoke(prune, everything=everything, force=True, containers=True, volumes=volumes, filters=filters)
    for name in unused(context.obj, rules):
        click.echo(f"Deleted network: {name}")


@system.command(
    epilog="\b\nExamples:\n  pybuild system check\n  pybuild system check --quick\n  pybuild system check --repair"
)
@click.option("--repair", is_flag=True, help="Make again what can be made again, put aside what is damaged.")
@click.option("--quick", is_flag=True, help="Look at rows, links and sizes only, not at every byte.")
@click.pass_obj
def check(context: Context, repair: bool, quick: bool) -> int:
    """Compare everything in the store with its name and with what is said of it; 1 if something is damaged or lost.

    Other commands may run meanwhile. --repair loses nothing that is whole: damaged bytes are moved to 'damaged' in the
    store, and images are given up only if neither their bytes nor another form of them are left.
    """
    from layers.home.check import check as look

    with reading(context.settings.color) as tell:
        found = look(context.store, repair=repair, quick=quick, progress=tell)
    for damage in found.damages:
        click.echo(f"{damage.kind} {damage.where}: {damage.what}")
        if damage.needed:
            click.echo(f"    needed by: {', '.join(damage.needed)}")
        click.echo(f"    repaired: {damage.repaired}" if damage.repaired else f"    help: {damage.remedy}")
        if damage.lost:
            click.echo(f"    lost: {', '.join(damage.lost)}; {damage.remedy}")
    for words in found.leftovers:
        click.echo(f"left over: {words}")
    verdict = units.plural(len(found.damages), "damage") if found.damages else "no damage"
    click.echo(f"{units.plural(found.blobs, 'blob')}, {units.size(found.bytes)} read: {verdict}")
    return int(any(not damage.repaired or damage.lost for damage in found.damages))


@contextmanager
def reading(color: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A bar of bytes on a terminal; None elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("reading"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True, no_color=not color), transient=True) as progress:
        task = progress.add_task("reading", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@system.command(epilog="\b\nExamples:\n  pybuild system info\n  pybuild info --format '{{.CgroupVersion}}'")
@click.option("-f", "--format", "template", metavar="TEMPLATE", help="A Go template, or json: docker's object.")
@click.pass_obj
def info(context: Context, template: str | None) -> None:
    """Show facts for a bug report: versions, store, control groups, how layers become directories and why."""
    from pybuild import machine

    if template is None:
        for name, value in machine.facts(context).items():
            click.echo(f"{name:<14}{value}")
        return
    from pybuild.formats.described import render

    render([machine.described(context)], template)


system.add_command(events)

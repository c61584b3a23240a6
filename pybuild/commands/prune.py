"""`pybuild prune`: what nothing uses any more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from pybuild import units
from pybuild.asking import removing
from pybuild.formats import filters as wanted
from pybuild.wiring import Context

if TYPE_CHECKING:
    from builder.containers import Container
    from layers import Pruned

FILTERS = ("until", "unused-for", "label", "label!")
KINDS = {
    "images": "Images",
    "cache": "Build cache",
    "snapshots": "Unpacked layers",
    "caches": "Cache mounts",
    "leftovers": "Leftovers",
}


@click.command(
    epilog="\b\nExamples:\n  pybuild prune --force\n  pybuild prune --all --filter until=24h\n"
    "  pybuild prune --all --filter label!=keep --dry-run\n"
    "  pybuild prune --all --filter unused-for=168h --keep-storage 10g"
)
@click.option("-a", "--all", "everything", is_flag=True, help="Also named images without a container, and the cache.")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--containers/--no-containers", default=False, help="Also containers that do not run.")
@click.option("--volumes", is_flag=True, help="Also volumes without a name that no container refers to.")
@click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="KEY=VALUE",
    help="until=AGE (added to the store before), unused-for=AGE, label=KEY[=VALUE], label!=KEY[=VALUE].",
)
@click.option("--until", metavar="AGE", help="Short for --filter until=AGE, as in 24h.")
@click.option(
    "--keep-storage", metavar="SIZE", help="Leave so much of the build cache: what was used longest ago goes first."
)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.pass_obj
def prune(
    context: Context,
    everything: bool,
    force: bool,
    containers: bool,
    volumes: bool,
    filters: Sequence[str],
    until: str | None,
    keep_storage: str | None,
    dry_run: bool,
) -> None:
    """Remove images without a name, results that no image or build needs, and what crashes left.

    What a running build or a container uses stays. With several filters, what fits all of them goes; labels are those
    of images, so with a filter of labels the build cache stays as it is.
    """
    from builder.containers import Containers
    from layers import prune as collect

    rules = wanted.parse(filters, FILTERS)
    choice = chosen(rules, until, volumes=volumes)
    if keep_storage is not None:
        try:
            choice["keep"] = units.parse_size(keep_storage)
        except ValueError as error:
            raise click.UsageError(f"--keep-storage: {error}") from error
    if not force and not dry_run:
        what = "every image that no container uses, and the build cache" if everything else "images without a name"
        what += ", and every container that does not run" if containers else ""
        what += ", and every volume without a name that no container refers to" if volumes else ""
        removing(what)
    if not dry_run:
        from layers.home import room
        from runner.sweep import sweep

        room.spend(context.settings.root)
        sweep()
    idle, held = idle_containers(context, choice) if containers else ([], 0)
    for one in idle:
        if not dry_run:
            Containers(context.store).remove(one)
        click.echo(f"{'Would delete' if dry_run else 'Deleted'} container: {one.name}")
    if volumes:
        from pybuild.commands.volume import unused

        names, taken = unused(context, rules, dry=dry_run)
        for name in names:
            click.echo(f"{'Would delete' if dry_run else 'Deleted'} volume: {name}")
        held += taken
    besides = [one.id for one in idle]
    found = collect(context.store, all=everything, dry=dry_run, besides=besides, **choice)
    tell(found, len(idle), held, dry=dry_run)


def chosen(found: Mapping[str, Sequence[str]], until: str | None, *, volumes: bool = False) -> dict[str, Any]:
    """The filters as words of `layers.prune`: of several moments the earliest, of labels all.

    Raises click.UsageError for what is no moment, and for any where `volumes` would go, too.
    """
    added = [moment("--filter until", text) for text in found.get("until", ())]
    added += [moment("--until", until)] if until is not None else []
    used = [moment("--filter unused-for", text) for text in found.get("unused-for", ())]
    if volumes and (added or used):
        raise click.UsageError("--volumes has no ages: leave such filters out, or prune volumes by themselves")
    return {
        "until": min(added, default=None),
        "unused": min(used, default=None),
        "labelled": labels(found.get("label", ()), found.get("label!", ())),
    }


def moment(flag: str, text: str) -> float:
    """Seconds since the epoch. Raises click.UsageError."""
    try:
        return units.parse_moment(text)
    except ValueError as error:
        raise click.UsageError(f"{flag}: {error}") from error


def labels(having: Sequence[str], lacking: Sequence[str]) -> Callable[[Mapping[str, str]], bool] | None:
    """Whether an image's labels fit, or None if they do not matter."""
    if not having and not lacking:
        return None
    return lambda met: wanted.fits({"label": having, "label!": lacking}, met)


def idle_containers(context: Context, choice: Mapping[str, Any]) -> tuple[list[Container], int]:
    """Containers that do not run and fit the filters, and the bytes that they take on the disk."""
    from layers.home.sizes import disk_usage
    from pybuild.commands.container_prune import idle

    found = idle(context, choice)
    return found, sum(disk_usage(one.folder) for one in found)


def tell(found: Pruned, containers: int, held: int, *, dry: bool) -> None:
    """What went, or would; containers took `held` bytes."""
    for name in found.names:
        click.echo(f"{'Would untag' if dry else 'Untagged'}: {name.familiar}")
    for image in found.images:
        click.echo(f"{'Would delete' if dry else 'Deleted'}: {image}")
    if containers:
        click.echo(f"Containers: {containers}, {units.size(held)}")
    for kind, title in KINDS.items():
        count = found.counts.get("records" if kind == "cache" else kind, 0)
        if count or found.sizes.get(kind):
            click.echo(f"{title}: {count}, {units.size(found.sizes.get(kind, 0))}")
    click.echo(f"Total {'reclaimable' if dry else 'reclaimed'} space: {units.size(found.bytes + held)}")

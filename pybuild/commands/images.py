"""`pybuild images`: what is in the store, one row a name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from pybuild import units
from pybuild.ages import Ages
from pybuild.formats import filters as wanted
from pybuild.formats.table import emit
from pybuild.wiring import Context

if TYPE_CHECKING:
    from datetime import datetime

    from layers import Image

COLUMNS = {"Repository": "REPOSITORY", "Tag": "TAG", "ID": "IMAGE ID", "CreatedSince": "CREATED", "Size": "SIZE"}
FILTERS = ("dangling", "reference", "label", "before", "since")
NONE = "<none>"


@click.command(
    epilog="\b\nExamples:\n  pybuild images\n  pybuild images -q --filter dangling=true\n"
    "  pybuild images --tree debian\n"
    "  pybuild images --format '{{.Repository}}:{{.Tag}} {{.Size}}' 'debian*'"
)
@click.argument("name", required=False)
@click.option("-a", "--all", "everything", is_flag=True, help="Accepted; there are no hidden images here.")
@click.option("-q", "--quiet", is_flag=True, help="Ids only.")
@click.option("--no-trunc", is_flag=True, help="Whole ids.")
@click.option("--digests", is_flag=True, help="A column of manifest digests.")
@click.option(
    "-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="dangling, reference, label, before, since"
)
@click.option("--tree", is_flag=True, help="Images of an index below its name, with what they take.")
@click.option("--format", "template", metavar="TEMPLATE", help="A Go template, 'table TEMPLATE' or json.")
@click.pass_obj
def images(
    context: Context,
    name: str | None,
    everything: bool,
    quiet: bool,
    no_trunc: bool,
    digests: bool,
    filters: Sequence[str],
    tree: bool,
    template: str | None,
) -> None:
    """List images, the newest first. NAME shows only images of that name."""
    if tree:
        from pybuild.formats.table import table
        from pybuild.imagetree import HEADS
        from pybuild.imagetree import rows as branches

        if quiet or no_trunc or digests or filters or template:
            raise click.UsageError("--tree is a picture of its own: leave the other options out")
        click.echo(table(HEADS, branches(context, name)))
        return
    rules = wanted.parse(filters, FILTERS)
    rows = list(_rows(context, rules, name, short=not no_trunc))
    if quiet:
        for identity in dict.fromkeys(row["ID"] for row in rows):
            click.echo(identity)
        return
    columns = dict(COLUMNS)
    if digests:
        columns = {"Repository": "REPOSITORY", "Tag": "TAG", "Digest": "DIGEST", **COLUMNS}
    emit(rows, columns, template)


def _rows(context: Context, rules: dict[str, list[str]], name: str | None, *, short: bool) -> Iterator[dict[str, Any]]:
    images = context.store.images
    dangling = wanted.boolean(rules["dangling"][-1]) if "dangling" in rules else None
    ages = Ages(context.store)
    before = min((age(ages, images.get(text)) for text in rules.get("before", ())), default=None)
    since = max((age(ages, images.get(text)) for text in rules.get("since", ())), default=None)
    for image in sorted(images.list(), key=partial(age, ages), reverse=True):
        created = age(ages, image)
        if (before is not None and created >= before) or (since is not None and created <= since):
            continue
        if not wanted.labelled(image.config.runtime.get("Labels") or {}, rules.get("label", ())):
            continue
        names = [(ref.familiar_repository, ref.tag or NONE) for ref in image.references]
        if name is not None or "reference" in rules:
            names = [pair for pair in names if _named(pair, name, rules.get("reference"))]
            if not names:
                continue
        if dangling is not None and dangling == bool(names):
            continue
        for repository, tag in names or [(NONE, NONE)]:
            yield _row(image, repository, tag, ages.of(image), short=short)


def age(ages: Ages, image: Image) -> float:
    """When an image came to be, in seconds since the epoch."""
    moment = ages.of(image)
    return moment.timestamp() if moment is not None else 0.0


def _named(pair: tuple[str, str], name: str | None, patterns: list[str] | None) -> bool:
    repository, tag = pair
    whole = f"{repository}:{tag}"
    if name is not None and not wanted.globbed(repository, [name]) and not wanted.globbed(whole, [name]):
        return False
    return patterns is None or wanted.globbed(repository, patterns) or wanted.globbed(whole, patterns)


def _row(image: Image, repository: str, tag: str, moment: datetime | None, *, short: bool) -> dict[str, Any]:
    return {
        "Repository": repository,
        "Tag": tag,
        "Digest": str(image.target.digest),
        "ID": image.id.short if short else str(image.id),
        "CreatedAt": units.stamp(moment),
        "CreatedSince": units.age(moment),
        "Size": units.size(image.size),
        "Platform": str(image.config.platform),
        "Containers": "N/A",
    }

"""`pybuild history`: what made an image, line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pybuild import units
from pybuild.formats.table import emit, truncated
from pybuild.wiring import Context

if TYPE_CHECKING:
    from layers import Image, Store

COLUMNS = {"ID": "IMAGE", "CreatedSince": "CREATED", "CreatedBy": "CREATED BY", "Size": "SIZE", "Comment": "COMMENT"}
MISSING = "<missing>"
WIDTH = 45


@click.command(
    epilog="\b\nExamples:\n  pybuild history app\n  pybuild history --no-trunc --format '{{.Size}} {{.CreatedBy}}' app"
)
@click.argument("image")
@click.option("--no-trunc", is_flag=True, help="Whole ids and commands.")
@click.option("-H", "--human/--no-human", default=True, help="Sizes and times for people (the default), or exact.")
@click.option("-q", "--quiet", is_flag=True, help="Ids only.")
@click.option("--platform", metavar="PLATFORM", help="Which image of an index.")
@click.option("--format", "template", metavar="TEMPLATE", help="A Go template, 'table TEMPLATE' or json.")
@click.pass_obj
def history(
    context: Context, image: str, no_trunc: bool, human: bool, quiet: bool, platform: str | None, template: str | None
) -> None:
    """Show the layers of an image and what made them, the newest first.

    SIZE is the bytes of the files in the layer; 0B for lines that only changed the configuration.
    """
    from layers import Platform

    found = context.store.images.get(image, Platform.parse(platform) if platform else None)
    rows = lines(context.store, found, whole=no_trunc, human=human)
    if quiet:
        for row in rows:
            click.echo(row["ID"])
        return
    emit(rows, COLUMNS, template)


def lines(store: Store, image: Image, *, whole: bool, human: bool) -> list[dict[str, Any]]:
    """The rows of the table, docker's keys."""
    diff_ids = iter(image.config.diff_ids)
    rows = []
    for line in image.config.history:
        diff_id = None if line.empty_layer else next(diff_ids, None)
        rows.append((line.created, line.created_by or "", line.comment or "", diff_id))
    rows += [(None, "", "", diff_id) for diff_id in diff_ids]  # images without a whole history
    told = []
    for number, (created, created_by, comment, diff_id) in enumerate(reversed(rows)):
        size = 0 if diff_id is None else store.toc(diff_id).size
        by = created_by.replace("\t", " ")
        identity = MISSING if number else str(image.id) if whole else image.id.short
        told.append(
            {
                "ID": identity,
                "CreatedAt": created or "",
                "CreatedSince": units.age(units.moment(created)) if human else created or "",
                "CreatedBy": by if whole else truncated(by, WIDTH),
                "Size": units.size(size) if human else str(size),
                "Comment": comment,
                "DiffID": str(diff_id) if diff_id else "",
            }
        )
    return told

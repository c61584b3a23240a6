"""`pybuild history`: what made an image, line by line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from pybuild import units
from pybuild.formats.table import emit, truncated
from pybuild.wiring import Context

if TYPE_CHECKING:
    from layers import Descriptor, DiffID, Image, Store
    from runner import Usage

LAYERS = {"Digest": "DIGEST", "Compressed": "COMPRESSED", "Line": "DOCKERFILE:LINE"}
"""What `--layers` adds."""
USED = {"Time": "TIME", "CPU": "CPU", "Memory": "MEMORY", "Disk": "DISK R/W", "Tasks": "TASKS"}
"""What `--usage` adds."""
COLUMNS = {"ID": "IMAGE", "CreatedSince": "CREATED", "CreatedBy": "CREATED BY", "Size": "SIZE", "Comment": "COMMENT"}
MISSING = "<missing>"
WIDTH = 45


@click.command(
    epilog="\b\nExamples:\n  pybuild history app\n"
    "  pybuild history --layers app   with digests and lines of the Dockerfile\n"
    "  pybuild history --usage app    with what each RUN used when it ran\n"
    "  pybuild history --no-trunc --format '{{.Size}} {{.CreatedBy}}' app"
)
@click.argument("image")
@click.option("--no-trunc", is_flag=True, help="Whole ids and commands.")
@click.option("-H", "--human/--no-human", default=True, help="Sizes and times for people (the default), or exact.")
@click.option("-q", "--quiet", is_flag=True, help="Ids only.")
@click.option("--layers", is_flag=True, help="Also digests, compressed sizes, lines of the Dockerfile.")
@click.option("--usage", is_flag=True, help="Also what each RUN used: time, processors, memory, disks.")
@click.option("--platform", metavar="PLATFORM", help="Which image of an index.")
@click.option("--format", "template", metavar="TEMPLATE", help="A Go template, 'table TEMPLATE' or json.")
@click.pass_obj
def history(
    context: Context,
    image: str,
    no_trunc: bool,
    human: bool,
    quiet: bool,
    layers: bool,
    usage: bool,
    platform: str | None,
    template: str | None,
) -> None:
    """Show the layers of an image and what made them, the newest first.

    SIZE is the bytes of the files in the layer; 0B for lines that only changed the configuration. With --layers,
    DIGEST is that of the uncompressed tar (the DiffID); COMPRESSED the bytes that travel, if the layer was pulled or
    pushed; DOCKERFILE:LINE where it stood when it was last built here. With --usage, all is of the run that made the
    layer here, whenever that was; MEMORY is its peak, with the files that were read and written.
    """
    from builder.caching.cache import lines as places
    from builder.caching.cache import usages
    from pybuild.subject import image as find

    found = find(context.store, image, platform)

    known = places(context.store, found.config.diff_ids) if layers or template else {}
    rows = lines(context.store, found, known, whole=no_trunc, human=human)
    if usage or template:
        spent = {str(diff_id): one for diff_id, one in usages(context.store, found.config.diff_ids).items()}
        for row in rows:
            row.update(used(spent.get(row["DiffID"]), human=human))
    if quiet:
        for row in rows:
            click.echo(row["ID"])
        return
    emit(rows, COLUMNS | (LAYERS if layers else {}) | (USED if usage else {}), template)


def lines(store: Store, image: Image, known: Mapping[DiffID, str], *, whole: bool, human: bool) -> list[dict[str, Any]]:
    """The rows of the table, docker's keys and ours; `known` says where layers stand in Dockerfiles."""
    blobs = dict(zip(image.config.diff_ids, image.manifest.layers, strict=True))
    told = []
    for number, (line, diff_id) in enumerate(reversed(image.lines)):
        size = 0 if diff_id is None else store.toc(diff_id).size
        packed = compressed(store, diff_id, blobs[diff_id]) if diff_id is not None else None
        created = line.created
        by = (line.created_by or "").replace("\t", " ")
        identity = MISSING if number else str(image.id) if whole else image.id.short
        told.append(
            {
                "ID": identity,
                "CreatedAt": created or "",
                "CreatedSince": units.age(units.moment(created)) if human else created or "",
                "CreatedBy": by if whole else truncated(by, WIDTH),
                "Size": units.size(size) if human else str(size),
                "Comment": line.comment or "",
                "DiffID": str(diff_id) if diff_id else "",
                "Digest": "" if diff_id is None else str(diff_id) if whole else diff_id.short,
                "Compressed": "" if packed is None else units.size(packed) if human else str(packed),
                "Line": known.get(diff_id, "") if diff_id else "",
            }
        )
    return told


def used(usage: Usage | None, *, human: bool) -> dict[str, str]:
    """The cells of what made a layer; empty for layers that no command made here."""
    if usage is None:
        return dict.fromkeys(USED, "")

    def size(count: int | None) -> str:
        return "" if count is None else units.size(count) if human else str(count)

    def seconds(value: float) -> str:
        return units.seconds(value) if human else f"{value:.6f}"

    moved = (usage.read_bytes, usage.written_bytes)
    return {
        "Time": seconds(usage.wall_seconds),
        "CPU": seconds(usage.cpu_seconds),
        "Memory": size(usage.memory_peak),
        "Disk": "" if None in moved else "/".join(map(size, moved)),
        "Tasks": "" if usage.pids_peak is None else str(usage.pids_peak),
    }


def compressed(store: Store, diff_id: DiffID, blob: Descriptor) -> int | None:
    """Bytes of a layer as it travels: as the manifest names it, else the smallest form that was made of it."""
    sizes = [blob.size] if blob.digest != diff_id else [form.size for form in store.variants.forms(diff_id)]
    return min(sizes, default=None)

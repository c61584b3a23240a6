"""What takes space, one by one: the tables of `pybuild system df -v`, with docker's columns."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from pybuild import units
from pybuild.ages import Ages
from pybuild.formats.table import emit
from pybuild.wiring import Context

if TYPE_CHECKING:
    from layers import Record

IMAGES = {
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "ID": "IMAGE ID",
    "CreatedSince": "CREATED",
    "Size": "SIZE",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
    "Containers": "CONTAINERS",
}
RECORDS = {
    "ID": "CACHE ID",
    "CacheType": "CACHE TYPE",
    "Size": "SIZE",
    "CreatedSince": "CREATED",
    "LastUsedSince": "LAST USED",
    "Shared": "SHARED",
}
HEX = re.compile(r"[0-9a-f]{12}")
VOLUMES = {"Name": "VOLUME NAME", "Links": "LINKS", "Size": "SIZE"}
CONTAINERS = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "LocalVolumes": "LOCAL VOLUMES",
    "Size": "SIZE",
    "Status": "STATUS",
    "Names": "NAMES",
}


def show(context: Context) -> None:
    """Print images, containers, volumes and cache records."""
    from builder.containers import Containers
    from builder.containers.volumes import Volumes
    from layers.home.sizes import details, disk_usage

    book = Containers(context.store).list()
    sizes, records = details(context.store)
    weight = {one.manifest: one for one in sizes}
    rows = []
    ages = Ages(context.store)
    for image in context.store.images.list():
        one = weight.get(str(image.manifest.descriptor.digest))
        for name in image.references or (None,):
            rows.append(
                {
                    "Repository": name.familiar_repository if name else "<none>",
                    "Tag": (name.tag if name else None) or "<none>",
                    "ID": image.id.short,
                    "CreatedSince": units.age(ages.of(image)),
                    "Size": units.size(one.size if one else 0),
                    "SharedSize": units.size(one.shared if one else 0),
                    "UniqueSize": units.size(one.size - one.shared if one else 0),
                    "Containers": str(sum(container.settings.image == str(image.id) for container in book)),
                }
            )
    click.echo("Images space usage:\n")
    emit(rows, IMAGES, None)
    click.echo("\nContainers space usage:\n")
    emit(
        [
            {
                "ID": one.id[:12],
                "Image": one.settings.image_name,
                "LocalVolumes": str(sum(mount.kept for mount in one.settings.volumes)),
                "Size": units.size(disk_usage(one.folder)),
                "Status": str(one.state().status),
                "Names": one.name,
            }
            for one in book
        ],
        CONTAINERS,
        None,
    )
    click.echo("\nLocal Volumes space usage:\n")
    volumes = Volumes(context.store)
    emit(
        [
            {
                "Name": one.name,
                "Links": str(len(volumes.users(one.name))),
                "Size": units.size(disk_usage(one.mountpoint)),
            }
            for one in volumes.list()
        ],
        VOLUMES,
        None,
    )
    times = {record.key: record for record in context.store.records.list()}
    click.echo(f"\nBuild cache usage: {units.size(sum(one.size for one in records if not one.shared))}\n")
    emit(
        [
            {
                "ID": short(one.key),
                "CacheType": cache_type(times[one.key]),
                "Size": units.size(one.size),
                "CreatedSince": since(times[one.key].made),
                "LastUsedSince": since(times[one.key].used),
                "Shared": "true" if one.shared else "false",
            }
            for one in records
            if one.key in times
        ],
        RECORDS,
        None,
    )


def short(key: str) -> str:
    """Twelve digits for a record: those of its key if it has any."""
    text = key.partition(":")[2]
    return text[:12] if HEX.match(text) else hashlib.sha256(key.encode()).hexdigest()[:12]


def cache_type(record: Record) -> str:
    """What a record remembers: the result of a RUN, COPY or WORKDIR, the files of a context, where a blob was seen."""
    kind = record.key.partition(":")[0]
    return str(record.value["parts"]["kind"]) if kind == "step" and "parts" in record.value else kind


def since(moment: float) -> str:
    """How long ago a moment was that is given in seconds since the epoch."""
    return units.age(datetime.fromtimestamp(moment, UTC))

"""What builds have kept, one by one: results of steps, what was learnt of files, directories of cache mounts.

Types are those of `docker buildx du`: regular (a step's result), exec.cachemount, source.local (what is known of the
files of a context), internal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from layers.quick import dataclass
from pybuild import units
from pybuild.inventory import short, since
from pybuild.progress.words import harmless

if TYPE_CHECKING:
    from layers import Record, Store
    from layers.home.caches import Kept

FILTERS = ("id", "type", "description", "until", "unused-for")
WIDTH = 60
TYPES = {"step": "regular", "context": "source.local"}


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that was kept. `size` is bytes on the disk, `made` and `used` seconds since the epoch.

    `mount` is its directory if it is a cache mount, else `key` that of its record. `reclaimable`: removing it frees
    bytes, nobody needs them. `shared`: another record or an image has the same layer.
    """

    id: str
    type: str
    size: int
    made: float
    used: float
    description: str
    reclaimable: bool
    shared: bool = False
    key: str = ""
    layers: tuple[str, ...] = ()
    mount: Kept | None = None


def items(store: Store) -> list[Item]:
    """Everything, what was used last first."""
    from layers.home.caches import Caches
    from layers.home.sizes import details, disk_usage

    sizes = {one.key: one for one in details(store)[1]}
    found = []
    for record in store.records.list():
        if (one := sizes.get(record.key)) is not None:
            found.append(
                Item(
                    short(record.key),
                    TYPES.get(record.key.partition(":")[0], "internal"),
                    one.size,
                    record.made,
                    record.used,
                    description(record),
                    not one.held,
                    one.shared,
                    record.key,
                    one.layers,
                )
            )
    for kept in Caches(store).all():
        what = f"cached mount {harmless(kept.name)}"
        made = kept.path.stat().st_mtime if kept.path.exists() else kept.used
        size = disk_usage(kept.path)
        found.append(Item(kept.id, "exec.cachemount", size, made, kept.used, what, not kept.in_use(), mount=kept))
    return sorted(found, key=lambda one: -one.used)


def total(found: Sequence[Item]) -> int:
    """Bytes that these take together: what two of them share is counted once."""
    return sum({one.layers or one.id: one.size for one in found}.values())


def description(record: Record) -> str:
    """What a record is, in words."""
    kind, _, rest = record.key.partition(":")
    value: Mapping[str, Any] = record.value
    match kind:
        case "step":
            where = value.get("where", {})
            title = " ".join(str(where.get("title", "")).split()) or value.get("parts", {}).get("kind", "")
            return harmless(f"[{where['stage']} {where['position']}] {title}" if where.get("stage") else title)
        case "context":
            return harmless(f"what is known of the files in {rest}")
        case "copied":
            return "the files of a COPY, to be taken again"
        case "inputs":
            return "the list of files that a step has read"
        case "mounted" | "selected":
            return "the digest of files in an image or stage"
        case "build":
            return f"how {rest[:12]} was built"
    return kind


def filtered(found: Sequence[Item], wanted: Mapping[str, Sequence[str]]) -> list[Item]:
    """Those that fit every filter. Raises click.UsageError."""
    limits = []
    for name in ("until", "unused-for"):
        for text in wanted.get(name, ()):
            try:
                limits.append(units.parse_moment(text))
            except ValueError as error:
                raise click.UsageError(f"--filter {name}: {error}") from error
    return [
        one
        for one in found
        if all(one.id.startswith(text) for text in wanted.get("id", ()))
        and one.type in (wanted.get("type") or (one.type,))
        and all(text in one.description for text in wanted.get("description", ()))
        and all(one.used <= limit for limit in limits)
    ]


def row(one: Item, *, full: bool) -> dict[str, Any]:
    """A thing for the table, or as data."""
    shown: dict[str, Any] = {
        "ID": one.id,
        "Reclaimable": str(one.reclaimable).lower(),
        "Size": units.size(one.size),
        "LastAccessed": since(one.used),
        "Type": one.type,
        "Description": one.description,
    }
    if not full:
        if len(one.description) > WIDTH:
            shown["Description"] = f"{one.description[: WIDTH - 1]}…"
        return shown
    moment = datetime.fromtimestamp(one.made, UTC).isoformat(timespec="seconds")
    return {**shown, "Bytes": one.size, "Shared": str(one.shared).lower(), "CreatedAt": moment}


def chosen(found: Sequence[Item], text: str) -> list[Item]:
    """The things that a person means: by the first digits of an id, or a cache mount by its name.

    Raises click.UsageError for nothing, and for digits of several.
    """
    named = [one for one in found if one.mount is not None and one.mount.name == text]
    if named:
        return named
    alike = [one for one in found if one.id.startswith(text)] if text else []
    exact = [one for one in alike if one.id == text]
    if len(exact or alike) == 1:
        return exact or alike
    what = "fits several: give more digits" if alike else "is no id of the cache, and no cache mount"
    raise click.UsageError(f"{text!r} {what}; 'pybuild cache ls' lists them")


def remove(store: Store, unwanted: Sequence[Item]) -> int:
    """Drop these, and the bytes that nothing needs then; the bytes that were given back to the disk."""
    from layers import prune
    from layers.home.caches import Caches
    from layers.home.sizes import disk_usage

    freed = 0
    for one in unwanted:
        if one.key:
            store.records.forget(one.key)
    with store.scratch() as trash:
        Caches(store).move([one.mount for one in unwanted if one.mount is not None], trash)
        freed = sum(disk_usage(path) for path in trash.iterdir())
    return freed + prune(store, images=False, cache=False).bytes

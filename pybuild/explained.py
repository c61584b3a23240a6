"""Why the steps of a build that is done ran: found afterwards, in what is kept of it and of those before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pybuild import units
from pybuild.foretold import change
from pybuild.progress.words import harmless

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from builder.builds import Built
    from builder.caching.explain import Change
    from builder.caching.former import Former
    from layers import Store

Row = tuple[dict[str, Any], "tuple[Change, ...]"]


def build_of(store: Store, image: str | None) -> Built:
    """The build that is meant. Raises click.UsageError if nothing is known of it."""
    from builder.builds import built, last

    found = last(store) if image is None else built(store, store.images.get(image).manifest.descriptor.digest)
    if found is None:
        raise click.UsageError(
            f"{image} was not built in this store" if image else "nothing was built in this store yet"
        )
    return found


def rows(store: Store, step: str | None, image: str | None) -> list[Row]:
    """Each step that ran, as data and with its changes. Raises click.UsageError for a step that did not."""
    build = build_of(store, image)
    ran = [one for one in build.steps if step is None or fits(store, one, step)]
    if step is not None and not ran:
        names = ", ".join(str(one["title"]) for one in build.steps) or "none: everything was cached"
        raise click.UsageError(f"no step {step!r} ran in this build; those that did: {harmless(names)}")
    formers: dict[str, Former] = {}
    return [_row(store, build, one, formers) for one in ran]


def fits(store: Store, one: Mapping[str, Any], text: str) -> bool:
    """True if a person means this step."""
    from fnmatch import fnmatchcase

    record = store.records.known(one["key"])
    where = record.value.get("where", {}) if record is not None else {}
    places = (f"{one['stage']}/{where.get('position')}", one["line"], one["line"].rpartition(":")[2])
    return text in places or fnmatchcase(" ".join(one["title"].split()), text)


def _row(store: Store, build: Built, one: Mapping[str, Any], formers: dict[str, Former]) -> Row:
    from builder.caching import inputs
    from builder.caching.cache import Key, where_of
    from builder.caching.explain import explain
    from builder.caching.former import Former

    record = store.records.known(one["key"])
    reason = str(one["reason"])
    changes: tuple[Change, ...] = ()
    if record is not None and (not reason or not reason.startswith("--")):
        where, parts = where_of(record), record.value["parts"]
        digests = [parts.get("content", ""), *(mount[3] for mount in parts.get("mounts", ()) if len(mount) == 4)]
        lists = {digest: listing for digest in digests if (listing := inputs.find(store, where, digest)) is not None}
        below = f"{one['over']} ran again" if one["over"] else ""
        former = formers.setdefault(where.home, Former(store, where.home))
        found = explain(former, where, Key(one["key"], parts), lists, below=below, before=build.began)
        reason, changes = found.reason, found.changes
    data = {
        "Step": f"[{one['stage']}] {harmless(' '.join(one['title'].split()))}",
        "Line": one["line"],
        "Seconds": one["seconds"],
        "Reason": harmless(reason or "its record is no longer kept"),
        "Changes": [change(each) for each in changes],
    }
    return data, changes


def words(store: Store, found: Sequence[Row], image: str | None) -> list[str]:
    """The same for people."""
    build = build_of(store, image)
    lines = [f"{build.digest.short}: {len(build.steps)} of {units.plural(build.count, 'step')} ran"]
    for data, changes in found:
        lines.append(f"{data['Step']}  ({data['Line']}, {units.seconds(data['Seconds'])})")
        lines += [f"    {harmless(str(each))}" for each in changes] or [f"    {data['Reason']}"]
    return lines

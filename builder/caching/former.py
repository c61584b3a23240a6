"""Results that there were before: those of one Dockerfile at hand, those of others by their words."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from builder.caching.cache import Key, Where, shortened

if TYPE_CHECKING:
    from layers import Record, Store

MOST = 20
"""Records that are compared, of those that fit equally well."""


class Former:
    """The records of a store as they are when the first is asked for, for builds of `home` (`Where.home`)."""

    def __init__(self, store: Store, home: str) -> None:
        self.store = store
        self._home = home

    def nearest(self, where: Where, key: Key, before: float | None = None) -> Record | None:
        """The record to compare a step with, None if nothing like it was ever built here.

        That of the same words in the same stage with the fewest parts that differ; else of what stood in its place,
        else of the same words anywhere. `before`: only of those made earlier, in seconds since the epoch.
        """
        title, kind = str(shortened(where.title)), str(key.parts["kind"])

        def counts(one: Record) -> bool:
            return one.key != key.text and (before is None or one.made < before)

        found = [one for one in self._here.get((where.stage, kind), ()) if counts(one)]
        alike = [one for one in found if one.value["where"].get("title") == title]
        alike = alike or [one for one in found if one.value["where"].get("position") == where.position]
        if not alike:
            known = (self.store.records.known(name) for name in self._elsewhere.get((title, kind), ())[:MOST])
            alike = [one for one in known if one is not None and counts(one)]
        parts = shortened(key.parts)

        def distance(one: Record) -> int:
            return sum(one.value["parts"].get(name) != parts.get(name) for name in parts)

        return min(alike[:MOST], key=distance, default=None)

    @cached_property
    def _here(self) -> dict[tuple[str, str], list[Record]]:
        """By stage and kind, the newest first."""
        found: dict[tuple[str, str], list[Record]] = {}
        for one in self.store.records.where("step:", where_home=self._home):
            found.setdefault((one.value["where"].get("stage", ""), one.value["parts"]["kind"]), []).append(one)
        return found

    @cached_property
    def _elsewhere(self) -> dict[tuple[str, str], list[str]]:
        """Keys by words and kind, the newest first."""
        found: dict[tuple[str, str], list[str]] = {}
        for key, title, kind in self.store.records.fields("step:", "where.title", "parts.kind"):
            found.setdefault((title, kind), []).append(key)
        return found

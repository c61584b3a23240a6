"""What earlier work came to: cache records, from a key to a small value.

A record names the layers that its value stands on, and is found only while they are all here;
finding it claims them, so a prune that runs meanwhile leaves them alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from layers.home.blobs import Blobs
from layers.home.db import FRESH, Database
from layers.oci.digest import DiffID, Digest
from layers.quick import dataclass


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the cache; times are seconds since the epoch."""

    key: str
    value: Mapping[str, Any]
    made: float
    used: float
    layers: tuple[DiffID, ...] = ()
    """What it stands on, where that was looked up."""


class Records:
    """The records of one store."""

    def __init__(self, db: Database, blobs: Blobs, claim: Callable[..., None]) -> None:
        self._db = db
        self._blobs = blobs
        self._claim = claim

    def find(self, key: str) -> Record | None:
        """The record, if it is known and all its layers are here, which are claimed for this process."""
        found = self.peek(key)
        return found if found is not None and self.hold([found]) else None

    def peek(self, key: str) -> Record | None:
        """The record, if it is known and all its layers are here now: they may be used only after `hold`."""
        children = "(SELECT group_concat(child) FROM edge WHERE parent = key)"
        row = self._db.row(f"SELECT value, made, used, {children} FROM record WHERE key = ?", key)
        if row is None:
            return None
        value, made, used, found = row
        layers = tuple(map(Digest.parse, found.split(","))) if found else ()
        return Record(key, json.loads(value), made, used, layers) if all(map(self._blobs.has, layers)) else None

    def hold(self, records: Sequence[Record]) -> bool:
        """Claim the layers of these for this process; False if some have gone since they were looked at."""
        layers = [layer for record in records for layer in record.layers]
        self._claim(*layers)
        now = time.time()
        stale = [(now, record.key) for record in records if not 0 <= now - record.used < FRESH]
        if stale and self._db.barred is None:
            with self._db.write() as db:
                db.executemany("UPDATE record SET used = ? WHERE key = ?", stale)
        return all(map(self._blobs.has, layers))

    def amend(self, values: Mapping[str, Mapping[str, Any]]) -> None:
        """Let records that are there say something else; layers and times stay."""
        rows = [(json.dumps(value, separators=(",", ":")), key) for key, value in values.items()]
        with self._db.write() as db:
            db.executemany("UPDATE record SET value = ? WHERE key = ?", rows)

    def keep(self, key: str, value: Mapping[str, Any], diff_ids: Sequence[DiffID] = ()) -> None:
        """Remember `value` (a small JSON object) for `key`, standing on layers that are here."""
        now = time.time()
        text = json.dumps(value, separators=(",", ":"))
        if diff_ids:
            self._blobs.settle(*diff_ids)
        with self._db.write() as db:
            db.execute("INSERT OR REPLACE INTO record VALUES (?, ?, ?, ?)", (key, text, now, now))
            db.execute("DELETE FROM edge WHERE parent = ?", (key,))
            db.executemany("INSERT OR IGNORE INTO edge VALUES (?, ?)", [(key, str(layer)) for layer in diff_ids])

    def forget(self, key: str) -> None:
        """Drop a record; its layers go with the next prune, if nothing else needs them."""
        with self._db.write() as db:
            db.execute("DELETE FROM record WHERE key = ?", (key,))
            db.execute("DELETE FROM edge WHERE parent = ?", (key,))

    def layers(self, key: str) -> tuple[DiffID, ...]:
        """The layers that a record stands on."""
        return tuple(Digest.parse(child) for (child,) in self._db.rows("SELECT child FROM edge WHERE parent = ?", key))

    def on(self, layer: DiffID) -> tuple[Record, ...]:
        """The records that stand on a layer, the least recently used first."""
        rows = self._db.rows(
            "SELECT key, value, made, used FROM record JOIN edge ON parent = key WHERE child = ? ORDER BY used",
            str(layer),
        )
        return tuple(Record(key, json.loads(value), made, used) for key, value, made, used in rows)

    def where(self, prefix: str, **texts: str) -> tuple[Record, ...]:
        """Records whose keys begin so and whose values say this, the newest first; `a_b` is the field b of the field a.

        Their layers may be gone.
        """
        fields = [f"$.{name.replace('_', '.')}" for name in texts]
        conditions = "".join(" AND json_extract(value, ?) = ?" for _ in fields)
        values = [word for pair in zip(fields, texts.values(), strict=True) for word in pair]
        rows = self._db.rows(
            f"SELECT key, value, made, used FROM record WHERE key >= ? AND key < ?{conditions} ORDER BY made DESC",
            prefix,
            prefix[:-1] + chr(ord(prefix[-1]) + 1),
            *values,
        )
        return tuple(Record(key, json.loads(value), made, used) for key, value, made, used in rows)

    def fields(self, prefix: str, *names: str) -> list[tuple[str, ...]]:
        """Key and texts of the records whose keys begin so, the newest first; names as in `a.b`, "" for what is not."""
        columns = "".join(", coalesce(json_extract(value, ?), '')" for _ in names)
        return self._db.rows(
            f"SELECT key{columns} FROM record WHERE key >= ? AND key < ? ORDER BY made DESC",
            *(f"$.{name}" for name in names),
            prefix,
            prefix[:-1] + chr(ord(prefix[-1]) + 1),
        )

    def latest(self, prefix: str) -> Record | None:
        """The record made last of those whose keys begin so, whether or not its layers are here."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        row = self._db.row(
            "SELECT key, value, made, used FROM record WHERE key >= ? AND key < ? ORDER BY made DESC LIMIT 1",
            prefix,
            end,
        )
        return None if row is None else Record(row[0], json.loads(row[1]), row[2], row[3])

    def trim(self, prefix: str, most: int) -> None:
        """Drop the oldest of the records whose keys begin so, but for `most`."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        with self._db.write() as db:
            found = db.execute(
                "SELECT key FROM record WHERE key >= ? AND key < ? ORDER BY made DESC LIMIT -1 OFFSET ?",
                (prefix, end, most),
            ).fetchall()
            db.executemany("DELETE FROM record WHERE key = ?", found)
            db.executemany("DELETE FROM edge WHERE parent = ?", found)

    def known(self, key: str) -> Record | None:
        """A record whether or not its layers are here; nothing is claimed."""
        row = self._db.row("SELECT value, made, used FROM record WHERE key = ?", key)
        return None if row is None else Record(key, json.loads(row[0]), row[1], row[2])

    def list(self) -> tuple[Record, ...]:
        """All records, the least recently used first."""
        rows = self._db.rows("SELECT key, value, made, used FROM record ORDER BY used")
        return tuple(Record(key, json.loads(value), made, used) for key, value, made, used in rows)

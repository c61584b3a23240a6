"""The lists of files that steps have read, kept so that the next miss can name the file.

Of each instruction the last two different lists are kept, under the digests of them that are parts of cache keys; they
go with its layer.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from builder.caching.cache import Where

if TYPE_CHECKING:
    from builder.ops.select import Selection
    from layers import Digest, Store

Table = list[list[Any]]
"""What a step reads, in rows: of one path all that a Listing says, or of the files in a directory their names, modes,
sizes and digests, all shortened, one behind the other."""
Listing = Mapping[str, list[object]]
"""Path → kind, mode, uid, gid, size, link, the beginning of the digest of its content."""
SHORT = 16
"""Digits that tell a digest from others."""
QUICKLY = 1
"""Level of zlib: a list of fifty thousand files takes a twentieth of a second."""


def keep(store: Store, where: Where, selections: Mapping[str, Selection], layer: Digest) -> None:
    """Remember what an instruction has read, by digest; the list before this one stays as well."""
    newest, older = _keys(where)
    before = store.records.known(newest)
    if before is not None and before.value["of"] == list(selections):
        store.records.keep(newest, before.value, [layer])
        return
    if before is not None:
        store.records.keep(older, before.value, store.records.layers(newest))
    lists = {digest: selection.table() for digest, selection in selections.items()}
    packed = base64.b64encode(zlib.compress(json.dumps(lists).encode(), QUICKLY)).decode()
    store.records.keep(newest, {"of": list(selections), "lists": packed}, [layer])


def find(store: Store, where: Where, digest: str) -> Listing | None:
    """The list of that digest, if it is one of the instruction's last."""
    for key in _keys(where):
        record = store.records.known(key)
        if record is not None and digest in record.value["of"]:
            lists = json.loads(zlib.decompress(base64.b64decode(record.value["lists"])))
            return listing(lists[digest])
    return None


def listing(table: Table | Listing) -> Listing:
    """A table as a list by path; one that was kept in an earlier form is that already."""
    if isinstance(table, Mapping):
        return table
    from layers import EntryType

    found: dict[str, list[object]] = {}
    for folder, kinds, *rest in table:
        if isinstance(kinds, str):
            found[folder] = [kinds, *rest]
            continue
        prefix = f"{folder}/" if folder else ""
        for at, (name, mode, size) in enumerate(zip(kinds, rest[0], rest[1], strict=True)):
            found[prefix + name] = [EntryType.FILE, mode, 0, 0, size, "", rest[2][SHORT * at : SHORT * at + SHORT]]
    return found


def _keys(where: Where) -> tuple[str, str]:
    return f"inputs:{where.id}", f"inputs:{where.id[::-1]}"  # two names, as different as their ids in lists have to be

"""The lists of files that steps have read, kept so that the next miss can name the file.

Of each instruction the last two different lists are kept, under the digests of them that are parts of cache keys; they
go with its layer.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from builder.caching.cache import Where

if TYPE_CHECKING:
    from layers import Digest, Store

Listing = Mapping[str, list[object]]
"""Path → kind, mode, uid, gid, size, link, the beginning of the digest of its content."""
QUICKLY = 1
"""Level of zlib: a list of fifty thousand files takes a twentieth of a second."""


def keep(store: Store, where: Where, lists: Mapping[str, Listing], layer: Digest) -> None:
    """Remember what an instruction has read, by digest; the list before this one stays as well."""
    newest, older = _keys(where)
    before = store.records.known(newest)
    if before is not None and before.value["of"] != list(lists):
        store.records.keep(older, before.value, store.records.layers(newest))
    packed = base64.b64encode(zlib.compress(json.dumps(lists).encode(), QUICKLY)).decode()
    store.records.keep(newest, {"of": list(lists), "lists": packed}, [layer])


def find(store: Store, where: Where, digest: str) -> Listing | None:
    """The list of that digest, if it is one of the instruction's last."""
    for key in _keys(where):
        record = store.records.known(key)
        if record is not None and digest in record.value["of"]:
            lists = json.loads(zlib.decompress(base64.b64decode(record.value["lists"])))
            found: Listing = lists[digest]
            return found
    return None


def _keys(where: Where) -> tuple[str, str]:
    return f"inputs:{where.id}", f"inputs:{where.id[::-1]}"  # two names, as different as their ids in lists have to be

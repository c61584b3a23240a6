"""Indexes changed entry by entry; whatever else they say stays as it was written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from layers.oci import mediatypes
from layers.oci.descriptor import Descriptor
from layers.oci.digest import Digest
from layers.oci.documents import Index, decode, encode


def entered(index: Index, entry: Descriptor) -> Index:
    """With one more entry; one for the same manifest is replaced where it stands."""

    def put(entries: list[Any]) -> list[Any]:
        same = [at for at, old in enumerate(entries) if old["digest"] == str(entry.digest)]
        if not same:
            return [*entries, entry.to_json()]
        return [entry.to_json() if at == same[0] else old for at, old in enumerate(entries) if at not in same[1:]]

    return _changed(index, put)


def removed(index: Index, digest: Digest) -> Index:
    """Without the entries of one manifest."""
    return _changed(index, lambda entries: [old for old in entries if old["digest"] != str(digest)])


def annotated(index: Index, annotations: Mapping[str, str]) -> Index:
    """With further annotations of its own. Docker's lists know none, so it becomes OCI's."""
    value = decode(index.raw, "index")
    value["mediaType"] = mediatypes.OCI_INDEX
    value["annotations"] = dict(sorted({**index.annotations, **annotations}.items()))
    return Index.parse(encode(value), mediatypes.OCI_INDEX)


def _changed(index: Index, change: Callable[[list[Any]], list[Any]]) -> Index:
    value = decode(index.raw, "index")
    value["manifests"] = change(value["manifests"])
    return Index.parse(encode(value), index.media_type)

"""Endpoints that list: tags, repositories, referrers (distribution-spec, end-8, 12), in pages that Link joins."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from layers import LayerError
from layers.oci.documents import MAX_DOCUMENT, decode
from layers.oci.mediatypes import MANIFESTS, OCI_INDEX
from registry.server import names
from registry.server.faults import Fault
from registry.server.messages import Answer, Request
from registry.server.shelf import Shelf

ROOM = MAX_DOCUMENT - (64 << 10)
"""Bytes of descriptors in one page of referrers: clients read no larger documents."""


def base(shelf: Shelf, request: Request) -> Answer:
    """This is a registry."""
    return Answer.json({})


def tags(shelf: Shelf, request: Request) -> Answer:
    """The tags of a repository."""
    repository = names.repository(request.words["name"])
    found = shelf.holdings.tags(repository)
    if not found and not shelf.holdings.known(repository):
        raise Fault("NAME_UNKNOWN", f"there is nothing called {request.words['name']}")
    page, link = paged(found, request)
    return Answer.json({"name": request.words["name"], "tags": page}, *link)


def catalog(shelf: Shelf, request: Request) -> Answer:
    """The repositories."""
    found = sorted(path for name in shelf.holdings.repositories() if (path := names.path(name)) is not None)
    page, link = paged(found, request)
    return Answer.json({"repositories": page}, *link)


def paged(found: Sequence[str], request: Request) -> tuple[list[str], list[tuple[str, str]]]:
    """The `n` entries after `last`, and the link to those that follow. Raises Fault PAGINATION_NUMBER_INVALID."""
    last, text = request.one("last"), request.one("n")
    rest = [name for name in found if last is None or name > last]
    if text is None:
        return rest, []
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Fault("PAGINATION_NUMBER_INVALID", f"n={text[:50]!r} is no number of entries")
    page = rest[: int(text)]
    return page, [link(request, n=text, last=page[-1])] if page and len(page) < len(rest) else []


def link(request: Request, **query: str) -> tuple[str, str]:
    """The header that names the next page of a path whose words are known to be good."""
    return "Link", f'<{request.path}?{urlencode(query)}>; rel="next"'


def referrers(shelf: Shelf, request: Request) -> Answer:
    """The manifests whose subject a digest is, as an index."""
    repository = names.repository(request.words["name"])
    kind, last = request.one("artifactType"), request.one("last") or ""
    told: list[tuple[str, str]] = [("OCI-Filters-Applied", "artifactType")] if kind else []
    entries: list[dict[str, Any]] = []
    size = 0
    for found in shelf.holdings.referrers(repository, names.digest(request.words["digest"])):
        if str(found.digest) <= last:
            continue
        try:
            value = decode(shelf.store.blobs.read(found.digest), "referrer")
        except LayerError:  # deleted or damaged meanwhile: the others are still worth telling
            continue
        entry = {
            "mediaType": found.media_type,
            "digest": str(found.digest),
            "size": found.size,
            **about(value, found.media_type),
        }
        if kind and entry.get("artifactType") != kind:
            continue
        size += len(json.dumps(entry, ensure_ascii=False).encode()) + 2
        if entries and size > ROOM:
            query = {"artifactType": kind} if kind else {}
            told.append(link(request, **query, last=str(entries[-1]["digest"])))
            break
        entries.append(entry)
    return Answer.json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}, *told, kind=OCI_INDEX)


def about(value: dict[str, Any], media_type: str) -> dict[str, Any]:
    """What a referrer is, and its annotations, as a descriptor tells them."""
    kind = value.get("artifactType")
    if not kind and media_type in MANIFESTS:
        kind = (value.get("config") or {}).get("mediaType")
    told = {"artifactType": kind, "annotations": value.get("annotations")}
    return {key: word for key, word in told.items() if word}

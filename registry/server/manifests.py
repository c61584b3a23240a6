"""Endpoints of manifests (distribution-spec, end-2, 3, 7, 9): bytes are kept and sent as they came.

A manifest is sent as what it is, whatever `Accept` says: its digest belongs to one media type, and a client that cannot
use it says so better than a 404 would.
"""

from __future__ import annotations

import io
from typing import Any

from layers import BlobMissing, Descriptor, Digest, Index, LayerError, Manifest
from layers.oci.documents import MAX_DOCUMENT, decode
from layers.oci.mediatypes import FOREIGN_LAYERS, INDEXES, MANIFESTS
from layers.quick import dataclass
from registry.server import names
from registry.server.adoption import adopt, outgoing
from registry.server.faults import Fault
from registry.server.holdings import InUse
from registry.server.messages import Answer, Request
from registry.server.shelf import Shelf

MOST_TAGS = 100
"""Tags that one PUT may give."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """A document as it came: what has to be here before it, and what it says of itself."""

    manifest: Manifest | None
    needed: tuple[Digest, ...]
    subject: Digest | None

    @classmethod
    def read(cls, raw: bytes, media_type: str) -> Pushed:
        """Take it apart. Raises LayerError."""
        if media_type in INDEXES:
            index = Index.parse(raw, media_type)
            return cls(None, tuple(entry.digest for entry in index.manifests), subject_of(decode(raw, "index")))
        manifest = Manifest.parse(raw, media_type)
        layers = [layer.digest for layer in manifest.layers if layer.media_type not in FOREIGN_LAYERS]
        subject = manifest.subject.digest if manifest.subject else None
        return cls(manifest, (manifest.config.digest, *layers), subject)


def subject_of(value: dict[str, Any]) -> Digest | None:
    """The subject of an index. Raises LayerError."""
    subject = value.get("subject")
    return Descriptor.from_json(subject, what="index subject").digest if subject else None


def get(shelf: Shelf, request: Request) -> Answer:
    """A manifest or index, by tag or digest."""
    found = find(shelf, request)
    etag = f'"{found.digest}"'
    told = (("Content-Type", found.media_type), ("Docker-Content-Digest", str(found.digest)), ("ETag", etag))
    if request.headers.get("if-none-match") == etag:
        return Answer(304, told[1:])
    try:
        return Answer(200, told, shelf.store.blobs.read(found.digest))
    except BlobMissing as error:
        raise unknown(request) from error


def put(shelf: Shelf, request: Request) -> Answer:
    """Keep a manifest whose blobs are here, under a tag or its digest."""
    repository = names.repository(request.words["name"])
    text = request.words["reference"]
    digest = names.digest(text) if ":" in text else None
    tags = [names.tag(tag) for tag in (request.every("tag") if digest else [text])]
    if len(tags) > MOST_TAGS:
        raise Fault("MANIFEST_INVALID", f"more than {MOST_TAGS} tags", status=414)
    raw = request.body.read(MAX_DOCUMENT)
    target = described(raw, request.headers.get("content-type", ""), digest)
    try:
        pushed = Pushed.read(raw, target.media_type)
    except LayerError as error:
        raise Fault("MANIFEST_INVALID", str(error)[:1000]) from error
    store = shelf.store
    store.session.claim(target.digest, *pushed.needed)
    if missing := [str(one) for one in pushed.needed if not store.blobs.has(one)]:
        raise Fault("MANIFEST_BLOB_UNKNOWN", f"push this first: {', '.join(missing[:20])}")
    store.blobs.put(target, io.BytesIO(raw))
    if pushed.manifest is not None and target.digest.algorithm == "sha256":
        adopt(store, pushed.manifest)
    shelf.holdings.keep(repository, target, needed=pushed.needed, subject=pushed.subject, tags=tags)
    told = [
        ("Location", f"/v2/{request.words['name']}/manifests/{text}"),
        ("Docker-Content-Digest", str(target.digest)),
    ]
    told += [("OCI-Subject", str(pushed.subject))] if pushed.subject else []
    told += [("OCI-Tag", tag) for tag in tags] if digest else []
    return Answer(201, tuple(told))


def delete(shelf: Shelf, request: Request) -> Answer:
    """Drop a tag; or, by digest, a manifest and all its tags."""
    repository = names.repository(request.words["name"])
    text = request.words["reference"]
    if ":" in text:
        try:
            done = shelf.holdings.drop(repository, names.digest(text))
        except InUse as error:
            raise Fault("UNSUPPORTED", f"{error}; delete that first", headers=(("Allow", "GET, HEAD"),)) from error
    else:
        done = shelf.holdings.untag(repository.with_tag(names.tag(text, code="MANIFEST_UNKNOWN")))
    if not done:
        raise unknown(request)
    return Answer(202)


def find(shelf: Shelf, request: Request) -> Descriptor:
    """What a reference means. Raises Fault."""
    repository = names.repository(request.words["name"])
    text = request.words["reference"]
    if ":" in text:
        found = shelf.holdings.document(repository, names.digest(text))
    else:
        name = repository.with_tag(names.tag(text, code="MANIFEST_UNKNOWN"))
        found = outgoing(shelf.store, shelf.holdings, name)
    if found is None:
        raise unknown(request)
    return found


def described(raw: bytes, header: str, digest: Digest | None) -> Descriptor:
    """The descriptor of what came. Raises Fault MANIFEST_INVALID, DIGEST_INVALID."""
    try:
        inside = decode(raw, "manifest").get("mediaType")
    except LayerError as error:
        raise Fault("MANIFEST_INVALID", str(error)[:1000]) from error
    kind = header.partition(";")[0].strip().lower() or inside
    if not isinstance(kind, str) or kind not in INDEXES | MANIFESTS:
        raise Fault("MANIFEST_INVALID", f"media type {str(kind)[:200]!r} is not one of a manifest or index")
    if inside not in (None, kind):
        raise Fault("MANIFEST_INVALID", f"Content-Type is {kind}, mediaType {str(inside)[:200]!r}")
    found = Descriptor.of(raw, kind, digest.algorithm if digest else "sha256")
    if digest not in (None, found.digest):
        raise Fault("DIGEST_INVALID", f"the digest of what came is {found.digest}, not {digest}")
    return found


def unknown(request: Request) -> Fault:
    """There is no such manifest."""
    return Fault("MANIFEST_UNKNOWN", f"{request.words['name']} has no {request.words['reference'][:200]}")

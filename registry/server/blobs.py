"""Endpoints of blobs and of their uploads (distribution-spec, end-2, 4 to 6, 10, 11, 13, 14)."""

from __future__ import annotations

from layers import BlobMissing, Digest
from registry.server import names, ranges
from registry.server.faults import Fault
from registry.server.holdings import InUse
from registry.server.messages import Answer, Request
from registry.server.shelf import Shelf
from registry.server.uploads import algorithm_of, check_count, check_place


def get(shelf: Shelf, request: Request) -> Answer:
    """A blob, or the range of it that was asked for."""
    names.repository(request.words["name"])
    digest = names.digest(request.words["digest"])
    etag = f'"{digest}"'
    if request.headers.get("if-none-match") in (etag, "*") and here(shelf, digest):
        return Answer(304, (("ETag", etag), ("Docker-Content-Digest", str(digest))))
    shelf.store.session.claim(digest)
    try:
        size, file = shelf.store.blobs.size(digest), shelf.store.blobs.open(digest)
    except BlobMissing as error:
        raise unknown(digest) from error
    told: tuple[tuple[str, str], ...] = (
        ("Content-Type", "application/octet-stream"),
        ("Docker-Content-Digest", str(digest)),
        ("ETag", etag),
        ("Accept-Ranges", "bytes"),
        ("Cache-Control", "max-age=31536000, immutable"),
    )
    try:
        if request.method == "GET" and request.headers.get("if-range", etag) == etag:
            part = ranges.wanted(request.headers.get("range"), size)
            if part is not None:
                offset, count = part
                told = (*told, ("Content-Range", f"bytes {offset}-{offset + count - 1}/{size}"))
                return Answer(206, told, file=file, offset=offset, count=count)
    except Fault:
        file.close()
        raise
    return Answer(200, told, file=file, count=size)


def delete(shelf: Shelf, request: Request) -> Answer:
    """Remove a blob that nothing in the store needs."""
    names.repository(request.words["name"])
    digest = names.digest(request.words["digest"])
    try:
        if not shelf.holdings.discard(digest):
            raise unknown(digest)
    except InUse as error:
        raise Fault("UNSUPPORTED", f"{error}; delete that first", headers=(("Allow", "GET, HEAD"),)) from error
    return Answer(202)


def start(shelf: Shelf, request: Request) -> Answer:
    """Begin an upload; or take over a blob that is here, or the whole blob that comes along."""
    repository = names.repository(request.words["name"])
    if (mount := request.one("mount")) is not None:
        digest = names.digest(mount)
        if here(shelf, digest):
            return created(request, digest)
    algorithm = algorithm_of(request)
    upload = shelf.uploads.begin(repository, algorithm)
    with shelf.uploads.hold(repository, upload.id):
        if (text := request.one("digest")) is None:
            return upload.state(request, 202)
        try:
            digest = names.digest(text)
            upload.take(request.body)
            upload.finish(digest)
        finally:
            shelf.uploads.end(upload)
    return created(request, digest)


def status(shelf: Shelf, request: Request) -> Answer:
    """How far an upload is."""
    with shelf.uploads.hold(names.repository(request.words["name"]), request.words["upload"]) as upload:
        return upload.state(request, 204)


def append(shelf: Shelf, request: Request) -> Answer:
    """The next bytes of an upload."""
    with shelf.uploads.hold(names.repository(request.words["name"]), request.words["upload"]) as upload:
        check_place(upload, request)
        before = upload.size
        upload.take(request.body)
        try:
            check_count(upload, request, before)
        except Fault:
            shelf.uploads.end(upload)
            raise
        return upload.state(request, 202)


def finish(shelf: Shelf, request: Request) -> Answer:
    """The last bytes of an upload, if any are left, and the digest of all."""
    with shelf.uploads.hold(names.repository(request.words["name"]), request.words["upload"]) as upload:
        digest = names.digest(request.one("digest") or "")
        check_place(upload, request)
        before = upload.size
        try:
            upload.take(request.body)
            check_count(upload, request, before)
            upload.finish(digest)
        finally:
            shelf.uploads.end(upload)
    return created(request, digest)


def cancel(shelf: Shelf, request: Request) -> Answer:
    """Drop an upload."""
    with shelf.uploads.hold(names.repository(request.words["name"]), request.words["upload"]) as upload:
        shelf.uploads.end(upload)
    return Answer(204)


def here(shelf: Shelf, digest: Digest) -> bool:
    """True if the blob is here; it stays for a while."""
    shelf.store.session.claim(digest)
    return shelf.store.blobs.has(digest)


def unknown(digest: Digest) -> Fault:
    """There is no such blob."""
    return Fault("BLOB_UNKNOWN", f"{digest} is not here")


def created(request: Request, digest: Digest) -> Answer:
    """A blob is here now."""
    place = f"/v2/{request.words['name']}/blobs/{digest}"
    return Answer(201, (("Location", place), ("Docker-Content-Digest", str(digest))))

"""Blobs on their way in (distribution-spec, "Pushing blobs").

An upload is a file without a name in this process: when the process ends, however it ends, nothing is left of it. Bytes
are hashed as they come and become a blob only when their digest is the one that was promised and they are on the disk.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from layers import BlobWriter, Digest, Reference, Store
from layers.home.room import full_disk_explained
from layers.oci.digest import LENGTHS
from registry.server import names, ranges
from registry.server.faults import Fault
from registry.server.messages import Answer, Request
from registry.server.wire import PIECE, Body

IDLE = 3600.0
"""Seconds after which an upload that nothing came for is dropped."""
MOST = 256
"""Uploads at the same time, each of which may hold a file open."""
WAIT = 60.0
"""Seconds to wait for an earlier request for the same upload, which may have lost its client."""


class Upload:
    """One upload; its file is made when the first byte comes."""

    def __init__(self, store: Store, repository: Reference, algorithm: str) -> None:
        self.id = secrets.token_hex(16)
        self.repository = repository
        self.algorithm = algorithm
        self.turn = threading.Lock()
        self.used = time.monotonic()
        self.closed = False
        self._store = store
        self._undo = ExitStack()
        self._writer: BlobWriter | None = None

    @property
    def size(self) -> int:
        """Bytes that are here."""
        return self._writer.size if self._writer else 0

    def take(self, body: Body) -> None:
        """Append what comes; what came before a connection broke stays. Raises as Body.into, and StoreFull."""
        writer = self._begun()
        view = memoryview(bytearray(PIECE))
        with full_disk_explained(self._store.root):
            while count := body.into(view):
                writer.write(bytes(view[:count]))
                self.used = time.monotonic()

    def finish(self, wanted: Digest) -> None:
        """Make it the blob that it claims to be. Raises Fault DIGEST_INVALID and keeps nothing."""
        writer = self._begun()
        with full_disk_explained(self._store.root):
            if wanted.algorithm != self.algorithm:  # hashed with another one until now: read it once more
                writer = self._undo.enter_context(self._store.blobs.writer(wanted.algorithm))
                with self._begun().reader() as source:
                    while piece := source.read(PIECE):
                        writer.write(piece)
            if writer.digest != wanted:
                raise Fault(
                    "DIGEST_INVALID", f"{writer.size} bytes came, whose digest is {writer.digest}, not {wanted}"
                )
            writer.commit()
            self._store.blobs.settle()  # what was answered stays, also if the manifest comes after a power cut

    def close(self) -> None:
        """Drop what is here."""
        self.closed = True
        self._undo.close()

    def _begun(self) -> BlobWriter:
        if self._writer is None:
            self._writer = self._undo.enter_context(self._store.blobs.writer(self.algorithm))
        return self._writer

    def state(self, request: Request, status: int) -> Answer:
        """How far it is."""
        return Answer(status, self.headers(request))

    def headers(self, request: Request) -> tuple[tuple[str, str], ...]:
        """Where to go on, and from which byte. `0-0` also says that nothing came, as everybody writes it."""
        return (
            ("Location", f"/v2/{request.words['name']}/blobs/uploads/{self.id}"),
            ("Range", f"0-{max(self.size - 1, 0)}"),
            ("Docker-Upload-UUID", self.id),
        )


class Uploads:
    """The uploads of this process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._all: dict[str, Upload] = {}
        self._turn = threading.Lock()

    def begin(self, repository: Reference, algorithm: str) -> Upload:
        """A new upload. Raises Fault TOOMANYREQUESTS."""
        upload = Upload(self._store, repository, algorithm)
        with self._turn:
            if len(self._all) >= MOST:
                raise Fault("TOOMANYREQUESTS", f"{MOST} uploads are going on", headers=(("Retry-After", "10"),))
            self._all[upload.id] = upload
        return upload

    @contextmanager
    def hold(self, repository: Reference, text: str) -> Iterator[Upload]:
        """An upload of a repository, for this thread alone. Raises Fault BLOB_UPLOAD_UNKNOWN."""
        upload = self._all.get(text)
        if upload is None or upload.repository != repository:
            raise Fault("BLOB_UPLOAD_UNKNOWN", "no such upload: it has ended, was never begun, or is another server's")
        if not upload.turn.acquire(timeout=WAIT):
            raise Fault("BLOB_UPLOAD_INVALID", "another request for this upload is going on", status=409)
        try:
            if upload.closed:
                raise Fault("BLOB_UPLOAD_UNKNOWN", "this upload has ended")
            upload.used = time.monotonic()
            yield upload
        finally:
            upload.turn.release()

    def end(self, upload: Upload) -> None:
        """Forget an upload that this thread holds."""
        with self._turn:
            self._all.pop(upload.id, None)
        upload.close()

    def expire(self, idle: float = IDLE) -> int:
        """Drop uploads that nothing came for in `idle` seconds; how many."""
        late = time.monotonic() - idle
        dropped = 0
        for upload in list(self._all.values()):
            if upload.used <= late and upload.turn.acquire(blocking=False):
                try:
                    self.end(upload)
                    dropped += 1
                finally:
                    upload.turn.release()
        return dropped

    def close(self) -> None:
        """Drop all; no request is being answered any more."""
        for upload in list(self._all.values()):
            self.end(upload)


def algorithm_of(request: Request) -> str:
    """How an upload will be named: by its digest if that is known, else as `digest-algorithm` says, else sha256."""
    if (digest := request.one("digest")) is not None:
        return names.digest(digest).algorithm
    algorithm = request.one("digest-algorithm") or "sha256"
    if algorithm not in LENGTHS:
        raise Fault("DIGEST_INVALID", f"digest-algorithm is one of {', '.join(LENGTHS)}")
    return algorithm


def check_place(upload: Upload, request: Request) -> None:
    """Refuse a piece that does not follow what is here. Raises Fault: RANGE_INVALID, SIZE_INVALID and others."""
    text = request.headers.get("content-range")
    if text is None:
        return
    start, count = ranges.sent(text)
    if start != upload.size:
        raise Fault("RANGE_INVALID", f"the next byte is {upload.size}, not {start}", headers=upload.headers(request))
    if request.body.length not in (None, count):
        raise Fault("SIZE_INVALID", f"Content-Range says {count} bytes, Content-Length {request.body.length}")


def check_count(upload: Upload, request: Request, before: int) -> None:
    """Refuse a piece in chunks that was not as long as it said; it cannot be taken back. Raises Fault SIZE_INVALID."""
    text = request.headers.get("content-range")
    if text is not None and upload.size - before != ranges.sent(text)[1]:
        raise Fault("SIZE_INVALID", f"Content-Range says {text}, {upload.size - before} bytes came")

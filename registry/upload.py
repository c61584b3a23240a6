"""One blob on its way into a repository (OCI distribution-spec, "Pushing blobs").

Whole in one PUT; in chunks if the registry asks for them or the blob is larger than one request should be. A send that
broke off goes on where the registry says it is; a session that is lost, or an end that was not answered, is first
looked into (is the blob there?) and then begun anew, once. The newest Location is used, its query byte for byte.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote, urljoin

from layers import BlobMismatch, Descriptor
from registry.errors import NotFound, ProtocolViolation, RegistryError, Unavailable
from registry.session import position, rewind
from registry.transport import Response

if TYPE_CHECKING:
    from registry.remote import RemoteRepository

WHOLE = 5 << 30
"""Bytes of the largest blob that is sent in one request; storage behind registries ends there."""
CHUNK = 64 << 20
"""Bytes of a chunk, if the registry does not want larger ones."""
BYTES = "application/octet-stream"
REACHED = re.compile(r"(?:bytes=)?0-(\d{1,18})\Z")


class Upload:
    """Sends one blob. `source` stands at its first byte; if it can seek, a send can be repeated."""

    def __init__(
        self, repository: RemoteRepository, wanted: Descriptor, source: BinaryIO, *, whole: int, chunk: int
    ) -> None:
        self._repository = repository
        self._wanted = wanted
        self._source = source
        self._start = position(source)
        self._whole = whole
        self._chunk = chunk
        self._asked = False
        self._place = ""
        self._looked = False
        self._stands = 0
        """The byte at which the source will stand after what was sent last."""
        self._cuts = 0
        self._what = f"does not take {wanted.digest}"

    def run(self) -> None:
        """Send it. Raises BlobMismatch if the source has too few bytes, and RegistryError; nothing is kept then."""
        for last in (False, True):
            self._begin()
            try:
                return self._send()
            except (NotFound, Unavailable):
                if self._arrived():
                    return None
                self._cancel()
                if last or self._start is None:
                    raise
                rewind(self._source, self._start)
            except EOFError as error:
                self._cancel()
                raise BlobMismatch(self._wanted, received=self._stands - int(error.args[0])) from error
            except RegistryError:
                self._cancel()
                raise
        return None

    def _begin(self) -> None:
        """Open a session."""
        self._looked, self._cuts = False, 0
        other = self._wanted.digest.algorithm
        query = "" if other == "sha256" else f"?digest-algorithm={other}"
        answer = self._repository.send("POST", f"blobs/uploads/{query}", accept=(202,), what=self._what)
        answer.close()
        if not answer.headers.get("location"):
            raise ProtocolViolation(self._repository.host, f"{self._what}: an upload without a Location", status=202)
        self._place = self._located(answer)
        least = answer.headers.get("oci-chunk-min-length", "")
        self._asked = least.isascii() and least.isdigit()
        if self._asked:
            self._chunk = max(self._chunk, int(least[:15]))

    def _send(self) -> None:
        """All of the blob within one session."""
        size = self._wanted.size
        reached = 0
        if size <= self._whole and not self._asked:
            self._stands = size
            try:
                return self._finish(self._source, size)
            except Unavailable:
                if self._arrived():
                    return None
                reached = self._reached() or 0
                if self._start is None or not reached:
                    raise
        while reached < size:
            reached = self._patch(reached)
        return self._finish(None, 0)

    def _arrived(self) -> bool:
        """True if the blob is there although its upload failed: only the answer was lost. Asked once a session."""
        if not self._looked:
            self._looked = True
            return self._repository.has(self._wanted)
        return False

    def _patch(self, offset: int) -> int:
        """Send a chunk from `offset` on; what the registry has then. Raises Unavailable if the session is of no use."""
        self._seek(offset)
        count = min(self._chunk, self._wanted.size - offset)
        self._stands = offset + count
        try:
            answer = self._repository.send(
                "PATCH",
                self._place,
                accept=(201, 202, 204, 416),
                what=self._what,
                headers={"Content-Type": BYTES, "Content-Range": f"{offset}-{offset + count - 1}"},
                body=self._source,
                size=count,
                lost=False,
            )
        except Unavailable:
            reached = self._reached()
        else:
            answer.close()
            self._place = self._located(answer)
            reached = self._reached() if answer.status == 416 else told(answer, offset + count)
        if reached is None or reached > self._wanted.size or reached > offset + count:
            raise Unavailable(self._repository.host, f"{self._what}: it lost the upload at byte {offset}")
        if reached <= offset:
            self._cuts += 1
            if not self._repository.client.retry.rest(self._cuts):
                raise Unavailable(self._repository.host, f"{self._what}: it keeps nothing after byte {offset}")
        else:
            self._cuts = 0
        return reached

    def _seek(self, offset: int) -> None:
        """Let the source stand at a byte of the blob. Raises Unavailable if it cannot."""
        if self._start is not None:
            self._source.seek(self._start + offset)
        elif offset != self._stands:
            raise Unavailable(self._repository.host, f"{self._what}: it was cut, and the bytes cannot be read again")

    def _reached(self) -> int | None:
        """How many bytes the session has; None if it is gone."""
        try:
            answer = self._repository.send("GET", self._place, accept=(200, 204), what="cannot ask for an upload")
        except RegistryError:
            return None
        answer.close()
        self._place = self._located(answer)
        return told(answer, 0)

    def _finish(self, body: BinaryIO | None, size: int) -> None:
        """Close the session with the digest, and the blob's bytes if they have not been sent."""
        joint = "&" if "?" in self._place else "?"
        answer = self._repository.send(
            "PUT",
            f"{self._place}{joint}digest={quote(str(self._wanted.digest))}",
            accept=(201,),
            what=self._what,
            headers={"Content-Type": BYTES},
            body=body,
            size=size,
            lost=False,
        )
        answer.close()
        named = answer.headers.get("docker-content-digest")
        if named and named != str(self._wanted.digest):
            raise ProtocolViolation(self._repository.host, f"stored {self._wanted.digest} as {named[:200]}")

    def _located(self, answer: Response) -> str:
        """Where the session goes on. Raises ProtocolViolation for a place where nothing should be sent."""
        location = answer.headers.get("location", "")
        if not location:
            return self._place
        place = urljoin(answer.url, location)
        self._repository.client.check_place(self._repository.host, answer.url, place)
        return place

    def _cancel(self) -> None:
        self._repository.cancel(self._place)


def told(answer: Response, otherwise: int) -> int:
    """The bytes that a registry says it has, by its Range header (`0-<last byte>`); `0-0` is none of them."""
    found = REACHED.match(answer.headers.get("range", ""))
    if found is None:
        return otherwise
    return int(found[1]) + 1 if int(found[1]) else 0

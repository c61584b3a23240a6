"""The bytes of a blob from an offset on, as a stream that goes on by itself when the connection is cut.

Nothing is delivered twice and nothing is left out, whatever the registry makes of a Range: the one asked for, another
one, none at all (200: what was delivered already is dropped), or 416. Bytes come as they are sent, never decoded;
whoever keeps them hashes them. A cut is one failure; a MiB without one wipes the slate.
"""

from __future__ import annotations

import io
import re
import time
from typing import TYPE_CHECKING

from layers import BlobMismatch, Descriptor
from registry.errors import ProtocolViolation, Unavailable
from registry.transport import BLOCK, Response, length_of

if TYPE_CHECKING:
    from registry.remote import RemoteRepository

PROGRESS = 1 << 20
"""Bytes after which earlier cuts are forgotten."""
RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)\Z", re.ASCII)


class Download(io.RawIOBase):
    """The body of one or more GETs of the same blob."""

    def __init__(self, repository: RemoteRepository, wanted: Descriptor, offset: int = 0) -> None:
        self._repository = repository
        self._retry = repository.client.retry
        self._wanted = wanted
        self._position = offset
        self._cuts = 0
        self._since_cut = 0
        self._ranges = True
        self._again = 0
        """Bytes that come a second time and are to be dropped."""
        self._answer: Response | None = None
        self._window = (0.0, 0)
        if offset < wanted.size or not wanted.size:
            self._answer = self._ask("cannot fetch")

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill a buffer. Raises Unavailable when it was cut too often, BlobMismatch for a body of the wrong length."""
        view = memoryview(buffer)
        while self._answer is not None:
            try:
                data = self._answer.read(min(self._again, BLOCK) if self._again else len(view))
                self._watch(len(data))
            except Unavailable as error:
                self._go_on(error)
                continue
            if not data and self._position < self._wanted.size:
                self._go_on(Unavailable(self._repository.host, "closed the connection"))
                continue
            if self._again:
                self._again -= len(data)
                continue
            view[: len(data)] = data
            self._position += len(data)
            self._since_cut += len(data)
            if self._since_cut >= PROGRESS:
                self._cuts = 0
            return len(data)
        return 0

    def _watch(self, count: int) -> None:
        """Take a body that trickles for a cut one. Raises Unavailable."""
        since, came = self._window
        passed = time.monotonic() - since
        if passed < self._retry.window:
            self._window = (since, came + count)
            return
        if came + count < self._retry.slowest * passed:
            raise Unavailable(
                self._repository.host, f"sent only {came + count} bytes of {self._wanted.digest} in {passed:.0f} s"
            )
        self._window = (time.monotonic(), 0)

    def _go_on(self, error: Unavailable) -> None:
        """Ask for the rest after a pause. Raises Unavailable if that was done too often."""
        if self._answer is not None:
            self._answer.close()
        self._cuts += 1
        self._since_cut = 0
        if not self._retry.rest(self._cuts):
            raise Unavailable(
                self._repository.host,
                f"the download of {self._wanted.digest} was cut {self._cuts} times, at last at byte {self._position}"
                f" of {self._wanted.size}: {error.what}",
            ) from None
        self._answer = self._ask("cannot go on fetching")

    def _ask(self, what: str) -> Response:
        """An answer whose next byte is the one at our position."""
        offset = self._position if self._ranges else 0
        answer = self._repository.fetch(self._wanted, offset, what=f"{what} {self._wanted.digest}")
        self._window = (time.monotonic(), 0)
        if offset and not (answer.status == 206 and self._begins(answer, offset)):
            if answer.status != 200:  # 416, or a piece that we did not ask for
                answer.close()
                self._ranges = False
                return self._ask(what)
            offset = 0
        self._measure(answer, offset)
        self._again = self._position - offset
        return answer

    def _begins(self, answer: Response, offset: int) -> bool:
        """True if a 206 is the rest that was asked for (RFC 9110, 14.4)."""
        told = RANGE.match(answer.headers.get("content-range", ""))
        return told is not None and int(told[1]) == offset and told[2] in ("*", str(self._wanted.size))

    def _measure(self, answer: Response, offset: int) -> None:
        """Refuse a body that cannot be the blob before a byte is read. Raises BlobMismatch, ProtocolViolation."""
        length = length_of(answer)
        if length == self._wanted.size - offset:
            return
        if (coding := answer.headers.get("content-encoding", "identity").lower()) != "identity":
            answer.close()
            raise ProtocolViolation(
                self._repository.host,
                f"sent {self._wanted.digest} with Content-Encoding {coding[:40]!r}",
                help="a proxy on the way changes what it carries; go around it (NO_PROXY)",
            )
        if length is not None:
            answer.close()
            raise BlobMismatch(self._wanted, received=offset + length)

    def close(self) -> None:
        """Give the connection back."""
        if self._answer is not None:
            self._answer.close()
        super().close()

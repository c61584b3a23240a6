"""One connection: heads and bodies of HTTP/1.1 requests, read strictly, with limits on size and on patience.

What follows a body on the wire is the next request, so where a body ends is never guessed: a length said twice, a
length beside chunks, or a head that can be read in two ways ends the connection (RFC 9112, section 6.3). A client may
be slow, but not idle: a head has to come within HEAD_TIME, a body at FLOOR bytes a second.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from layers.quick import dataclass
from registry.server.faults import Fault

MOST_HEAD = 64 << 10
"""Bytes of a request line and its headers."""
KEPT = 75.0
"""Seconds that an idle connection is kept open."""
HEAD_TIME = 20.0
"""Seconds from the first to the last byte of a head."""
PATIENCE = 60.0
"""Seconds without a byte of a body, and over which its speed is measured."""
FLOOR = 1024
"""Bytes a second that a body has to come with."""
PIECE = 256 << 10

BEGIN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]|\r\Z")
LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([\x21-\x7e]+) HTTP/1\.([01])\Z")
FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*\Z")
SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?\Z")
LENGTH = re.compile(r"[0-9]{1,18}\Z")
ONCE = frozenset({"authorization", "content-length", "content-range", "content-type", "host", "range", "expect"})
"""Headers that would mean nothing, or two things, if they came twice."""


class Gone(Exception):
    """The client has closed the connection in the middle of something."""


class Malformed(Fault):
    """A request after which nobody knows where the next one begins."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__("UNSUPPORTED", message, status=status)


@dataclass(frozen=True, slots=True)
class Head:
    """A request line and its headers, names in lower case; those that came several times are joined by commas."""

    method: str
    target: str
    minor: int
    headers: Mapping[str, str]

    @classmethod
    def parse(cls, raw: bytes) -> Head:
        """Read all up to the empty line. Raises Malformed."""
        first, *rest = raw.split(b"\r\n")
        line = LINE.match(first)
        if line is None:
            raise Malformed("this is no request of HTTP/1.1")
        headers: dict[str, str] = {}
        for text in rest:
            field = FIELD.match(text)
            if field is None:
                raise Malformed("a header cannot be read")
            name, value = field[1].decode("ascii").lower(), field[2].decode("latin-1")
            if name in headers and name in ONCE:
                raise Malformed(f"{name} is said twice")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        minor = int(line[3])
        if minor == 1 and "host" not in headers:
            raise Malformed("Host is missing")
        return cls(line[1].decode("ascii"), line[2].decode("ascii"), minor, headers)

    @property
    def length(self) -> int | None:
        """Bytes of the body; None if it comes in chunks. Raises Malformed."""
        coding, length = self.headers.get("transfer-encoding"), self.headers.get("content-length")
        if coding is not None:
            if coding.lower() != "chunked" or length is not None or self.minor == 0:
                raise Malformed("Transfer-Encoding must be chunked, alone, and of HTTP/1.1")
            return None
        if length is None:
            return 0
        if not LENGTH.match(length):
            raise Malformed("Content-Length is no number")
        return int(length)


class Wire:
    """The client's side of a connection."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._ahead = bytearray()
        """What came after all that was asked for so far."""

    def head(self) -> Head | None:
        """The next request; None if the client has none. Raises Malformed, TimeoutError, Gone."""
        until = time.monotonic() + KEPT
        while (end := self._ahead.find(b"\r\n\r\n")) < 0:
            if self._ahead[:2] == b"\r\n":
                del self._ahead[:2]  # some clients end a body with a line too many
                continue
            if len(self._ahead) > MOST_HEAD:
                raise Malformed(f"more than {MOST_HEAD} bytes of headers", status=431)
            if self._ahead and not BEGIN.match(self._ahead):
                raise Malformed("this is no request of HTTP/1.1")  # many try TLS first, and wait for an answer
            begun = bool(self._ahead)
            if not self.more(until):
                if begun:
                    raise Gone
                return None
            if not begun:
                until = time.monotonic() + HEAD_TIME
        raw = bytes(self._ahead[:end])
        if len(raw) > MOST_HEAD:
            raise Malformed(f"more than {MOST_HEAD} bytes of headers", status=431)
        del self._ahead[: end + 4]
        return Head.parse(raw)

    def more(self, until: float) -> bool:
        """Wait for bytes; False if none will come. Raises TimeoutError after `until` (monotonic seconds)."""
        with self._told(max(until - time.monotonic(), 0.001)):
            piece = self._sock.recv(PIECE)
        self._ahead += piece
        return bool(piece)

    def line(self, until: float) -> bytes:
        """One short line, without its end. Raises Malformed, TimeoutError, Gone."""
        while (end := self._ahead.find(b"\r\n")) < 0:
            if len(self._ahead) > PIECE + MOST_HEAD:
                raise Malformed("a line between chunks has no end")
            if not self.more(until):
                raise Gone
        line = bytes(self._ahead[:end])
        del self._ahead[: end + 2]
        return line

    def into(self, view: memoryview) -> int:
        """Fill a buffer with what comes next, at least one byte of it. Raises TimeoutError, Gone."""
        count = min(len(self._ahead), len(view))
        if count:
            view[:count] = self._ahead[:count]
            del self._ahead[:count]
            return count
        with self._told(PATIENCE):
            count = self._sock.recv_into(view)
        if not count:
            raise Gone
        return count

    def write(self, data: bytes) -> None:
        """Send all of it. Raises TimeoutError, Gone."""
        with self._told(PATIENCE):
            self._sock.sendall(data)

    @contextmanager
    def _told(self, patience: float) -> Iterator[None]:
        """Use the socket for so many seconds; whatever it says but that time is up means that the client is gone."""
        try:
            self._sock.settimeout(patience)
            yield
        except TimeoutError:
            raise
        except OSError as error:
            raise Gone from error


class Body:
    """The body of one request: of a known length, in chunks, or empty."""

    def __init__(self, wire: Wire, head: Head) -> None:
        self._wire = wire
        self.length = head.length
        """Bytes that were announced; None if the body comes in chunks."""
        self.awaited = "100-continue" in head.headers.get("expect", "").lower() and head.minor > 0
        """The client waits to be told that its body is wanted."""
        self._left = self.length or 0
        self._last = self.length is not None
        """No further chunk comes."""
        self._first = True
        self._since = time.monotonic()
        self._came = 0

    @property
    def ended(self) -> bool:
        """True when the next byte on the wire is the next request's."""
        return self._last and not self._left

    def into(self, view: memoryview) -> int:
        """Fill a buffer as far as the body goes; the bytes that it holds then. Raises Malformed, TimeoutError, Gone."""
        if self.awaited and not self.ended:
            self._wire.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.awaited = False
            self._since = time.monotonic()
        filled = 0
        while filled < len(view):
            if not self._left:
                if self._last:
                    break
                self._chunk()
                continue
            count = self._wire.into(view[filled : filled + self._left])
            self._left -= count
            filled += count
            self._keep_pace(count)
        return filled

    def read(self, most: int) -> bytes:
        """All of it. Raises Fault MANIFEST_INVALID with status 413 if there is more than `most` bytes."""
        if self.length is None or self.length <= most:
            buffer = bytearray(most + 1 if self.length is None else self.length)
            count = self.into(memoryview(buffer))
            if count <= most:
                return bytes(buffer[:count])
        raise Fault("MANIFEST_INVALID", f"larger than {most} bytes", status=413)

    def drain(self, most: int) -> bool:
        """Read and forget what is left; False if that is more than `most` bytes, or was not to be sent at all."""
        if self.ended:
            return True
        if self.awaited or self._left > most:
            return False
        view = memoryview(bytearray(min(most, PIECE)))
        while not self.ended and most > 0:
            most -= self.into(view[: min(len(view), most)])
        return self.ended

    def _chunk(self) -> None:
        until = time.monotonic() + PATIENCE
        if not self._first and self._wire.line(until):
            raise Malformed("a chunk is longer than it says")
        self._first = False
        size = SIZE.match(self._wire.line(until))
        if size is None:
            raise Malformed("the size of a chunk is no number")
        self._left = int(size[1], 16)
        if not self._left:
            self._last = True
            most = MOST_HEAD
            while line := self._wire.line(until):
                most -= len(line)
                if most < 0:
                    raise Malformed("the trailer is too long")

    def _keep_pace(self, count: int) -> None:
        self._came += count
        now = time.monotonic()
        if now - self._since > PATIENCE:
            if self._came < FLOOR * PATIENCE:
                raise TimeoutError
            self._since, self._came = now, 0

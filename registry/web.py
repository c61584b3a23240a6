"""Files of the web, one GET after the other: redirects followed, cuts mended, nothing believed twice.

What was cut goes on where it was (RFC 9110, 14: Range, If-Range); where a server cannot do that, the file is asked for
anew, and what is sent once more is compared with what had come. Authorization goes to the host that it is for, alone.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping
from urllib.parse import urljoin, urlsplit

from layers.quick import dataclass
from registry.errors import Denied, NotFound, ProtocolViolation, RateLimited, RegistryError, Unauthorized, Unavailable
from registry.retry import AGAIN, Retry
from registry.session import MOVED, origin_of
from registry.transport import BLOCK, Request, Response, Transport, bare, host_of, length_of

HOPS = 10
PROGRESS = 1 << 20
"""Bytes after which a cut counts as the first one again."""
RANGE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)\Z")
STATUSES: Mapping[int, type[RegistryError]] = {
    401: Unauthorized,
    403: Denied,
    404: NotFound,
    410: NotFound,
    429: RateLimited,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """The status and headers (names in lower case) of what came, and where from in the end."""

    status: int
    headers: Mapping[str, str]
    url: str


class Web:
    """Fetches files; threads may share it."""

    def __init__(self, transport: Transport, retry: Retry | None = None) -> None:
        self._transport = transport
        self._retry = retry or Retry()

    def head(self, url: str, headers: Mapping[str, str]) -> Answer | None:
        """What a HEAD says with 200 or 304; None for whatever else happens: not every server likes it."""
        try:
            with self._follow("HEAD", url, dict(headers)) as answer:
                return Answer(answer.status, answer.headers, answer.url) if answer.status in (200, 304) else None
        except RegistryError:
            return None

    def get(
        self, url: str, headers: Mapping[str, str], write: Callable[[bytes], object], most: int | None = None
    ) -> Answer:
        """Hand all of a file to `write`, `most` bytes of it at most; nothing for a 304.

        Raises Unavailable, Untrusted, NotFound, Denied, Unauthorized, RateLimited and ProtocolViolation.
        """
        return _Download(self, url, headers, write, most).run()

    def _follow(self, method: str, url: str, headers: dict[str, str]) -> Response:
        """The answer behind all redirects."""
        origin = origin_of(url)
        for _ in range(HOPS + 1):
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ProtocolViolation(host_of(url), f"leads to {bare(url)[:200]!r}, which is no usable URL")
            if origin_of(url) != origin:
                headers = {name: value for name, value in headers.items() if name != "Authorization"}
            answer = self._exchange(Request(method, url, headers))
            if answer.status not in MOVED or "location" not in answer.headers:
                return answer
            answer.close()
            url = urljoin(url, answer.headers["location"]).partition("#")[0]
        raise ProtocolViolation(host_of(url), f"more than {HOPS} redirects")

    def _exchange(self, request: Request) -> Response:
        since, tried = time.monotonic(), 0
        while True:
            tried += 1
            try:
                answer = self._transport.send(request)
            except Unavailable as error:
                if not self._retry.again(error, tried=tried, since=since):
                    raise
                continue
            if answer.status not in AGAIN or not self._retry.again(answer, tried=tried, since=since):
                return answer
            answer.close()


class _Download:
    """One file on its way."""

    def __init__(
        self, web: Web, url: str, headers: Mapping[str, str], write: Callable[[bytes], object], most: int | None
    ) -> None:
        self._web = web
        self._url = url
        self._headers = dict(headers)
        self._write = write
        self._most = most
        self._came = 0
        self._seen = hashlib.sha256()
        self._validator = ""

    def run(self) -> Answer:
        """All of it."""
        cuts = 0
        while True:
            answer = self._ask()
            before = self._came
            try:
                with answer:
                    if answer.status != 304:
                        self._take(answer)
                return Answer(answer.status, answer.headers, answer.url)
            except Unavailable as error:
                cuts = 1 if self._came - before >= PROGRESS else cuts + 1
                if not self._web._retry.rest(cuts):
                    what = f"{bare(self._url)} was cut {cuts} times, at last at byte {self._came}: {error.what}"
                    raise Unavailable(error.host, what) from None

    def _ask(self) -> Response:
        headers = dict(self._headers)
        if self._came:
            headers = {name: value for name, value in headers.items() if not name.startswith("If-")}
            if self._validator:
                headers |= {"Range": f"bytes={self._came}-", "If-Range": self._validator}
        answer = self._web._follow("GET", self._url, headers)
        if answer.status in (200, 203, 206) or (answer.status == 304 and not self._came):
            return answer
        with answer:
            kind = STATUSES.get(answer.status, Unavailable if answer.status in AGAIN else ProtocolViolation)
            raise kind(host_of(answer.url), f"{bare(self._url)}: invalid response status {answer.status}")

    def _take(self, answer: Response) -> None:
        """Hand on what is new of a body."""
        host = host_of(answer.url)
        again, total = self._came, length_of(answer)
        if answer.status == 206:
            told = RANGE.match(answer.headers.get("content-range", ""))
            if told is None or int(told[1]) != self._came or not self._came:
                raise ProtocolViolation(host, f"{bare(self._url)}: a piece came that nobody asked for")
            again = 0
        if (coding := answer.headers.get("content-encoding", "identity").lower()) != "identity":
            help = "it was asked for as it is; a proxy on the way may change it"
            raise ProtocolViolation(host, f"{bare(self._url)}: sent with Content-Encoding {coding[:40]!r}", help=help)
        if not self._came:
            tag = answer.headers.get("etag", "")
            self._validator = tag if tag.startswith('"') else answer.headers.get("last-modified", "")
        repeated = hashlib.sha256()
        left, since, brought = again, time.monotonic(), 0
        received = 0
        while piece := answer.read(min(BLOCK, left) if left else BLOCK):
            received += len(piece)
            brought += len(piece)
            if (passed := time.monotonic() - since) > self._web._retry.window:
                if brought < self._web._retry.slowest * passed:
                    raise Unavailable(host, f"sent only {brought} bytes in {passed:.0f} s")
                since, brought = time.monotonic(), 0
            if left:
                repeated.update(piece)
                left -= len(piece)
                if not left and repeated.digest() != self._seen.digest():
                    raise ProtocolViolation(host, f"{bare(self._url)} changed while it was fetched; try again")
                continue
            self._came += len(piece)
            if self._most is not None and self._came > self._most:
                raise ProtocolViolation(host, f"{bare(self._url)} is larger than {self._most} bytes")
            self._seen.update(piece)
            self._write(piece)
        if total is not None and received < total:
            raise Unavailable(host, f"{total - received} bytes are missing")
        if left:
            raise ProtocolViolation(host, f"{bare(self._url)} changed while it was fetched; try again")

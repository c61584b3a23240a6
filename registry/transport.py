"""One HTTP exchange: a Request goes out, a Response comes back, nothing else happens.

A Transport follows no redirect, adds no credential, retries nothing, decodes nothing, and gives every
status as it came; all that is decided in `registry.session`. It raises Unavailable when there is no
answer and Untrusted when the host cannot prove who it is.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, BinaryIO, Protocol
from urllib.parse import urlsplit

from layers.quick import dataclass, field
from registry.errors import ProtocolViolation, Unavailable, Untrusted
from registry.trust import Trust

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
"""Longest silence between two pieces of an answer."""
SETTLING = 16 << 20
"""Bytes a second at which a registry is supposed to put away what it got, before it answers."""
POOL = 16
BLOCK = 256 << 10
ERROR_BODY = 64 << 10
"""Bytes of an error's body that we are willing to read."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to send. A streamed body is `size` bytes from where `body` stands."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | BinaryIO | None = None
    size: int = 0


class Stream(Protocol):
    """What a Response needs of its bytes."""

    def read(self, size: int, /) -> bytes:
        """At least one byte and at most `size`; empty at the end. Raises Unavailable if cut short."""
        ...

    def close(self) -> None:
        """Give the connection up, or back if everything was read."""
        ...


@dataclass(frozen=True, slots=True)
class Response:
    """What came back; header names are lower case. Close it, or read it to its end."""

    status: int
    headers: Mapping[str, str]
    url: str
    stream: Stream

    def read(self, size: int) -> bytes:
        """At least one byte and at most `size`; empty at the end. Raises Unavailable."""
        return self.stream.read(size)

    def body(self, limit: int) -> bytes:
        """The whole body. Raises ProtocolViolation if it is larger than `limit` bytes."""
        parts = bytearray()
        while piece := self.stream.read(min(BLOCK, limit + 1 - len(parts))):
            parts += piece
            if len(parts) > limit:
                raise ProtocolViolation(host_of(self.url), f"an answer is larger than {limit} bytes")
        return bytes(parts)

    def close(self) -> None:
        """Drop what was not read."""
        self.stream.close()

    def __enter__(self) -> Response:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class Transport(Protocol):
    """A way to exchange one Request for one Response; used by several threads at once."""

    def send(self, request: Request) -> Response:
        """Raises Unavailable or Untrusted."""
        ...


def length_of(answer: Response) -> int | None:
    """The Content-Length of an answer, if it tells one that makes sense."""
    text = answer.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def host_of(url: str) -> str:
    """`host:port` of a URL, for texts."""
    return urlsplit(url).netloc.rpartition("@")[2]


def bare(url: str) -> str:
    """A URL without its query, for texts: signed URLs carry secrets there."""
    return url.partition("?")[0]


class Outgoing:
    """Exactly `size` bytes of a source, with the length that HTTP wants to know beforehand."""

    def __init__(self, source: BinaryIO, size: int) -> None:
        self._source = source
        self._size = size
        self.left = size

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1) -> bytes:
        """The next bytes; raises EOFError(bytes that are missing) if the source ends too early."""
        piece = self._source.read(self.left if size < 0 else min(size, self.left))
        if not piece and self.left:
            raise EOFError(self.left)
        self.left -= len(piece)
        return piece

    def __iter__(self) -> Outgoing:
        return self

    def __next__(self) -> bytes:
        if piece := self.read(BLOCK):
            return piece
        raise StopIteration


class Incoming:
    """The undecoded bytes of an answer of requests."""

    def __init__(self, raw: Any, url: str) -> None:
        self._raw = raw
        self._url = url
        self._ended = False

    def read(self, size: int, /) -> bytes:
        """See Stream."""
        import urllib3

        try:
            piece: bytes = self._raw.read1(size, decode_content=False)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise Unavailable(host_of(self._url), f"{bare(self._url)} was cut short: {reason(error)}") from None
        self._ended = self._ended or not piece
        return piece

    def close(self) -> None:
        """Read a short rest, so that the connection can be used again; drop the connection of a long one."""
        left = ERROR_BODY
        try:
            while not self._ended and left > 0 and (self._raw.length_remaining or 0) <= ERROR_BODY:
                left -= len(self.read(left))
        except Unavailable:
            pass
        if not self._ended:
            self._raw.close()
        self._raw.release_conn()


class RequestsTransport:
    """HTTP/1.1 over the requests library, with nothing taken from its environment but proxies."""

    def __init__(
        self, trust: Trust, *, connect_seconds: float = CONNECT_SECONDS, read_seconds: float = READ_SECONDS
    ) -> None:
        import threading
        from http.cookiejar import DefaultCookiePolicy

        import requests

        self._trust = trust
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._session = requests.Session()
        self._session.trust_env = False  # else ~/.netrc overrides our Authorization, on redirect targets too
        self._session.headers.clear()
        self._session.headers.update({"User-Agent": "pybuild", "Accept-Encoding": "identity"})
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.mount("http://", self._adapter(None))
        self._hosts: set[str] = set()
        self._lock = threading.Lock()

    def _adapter(self, context: Any) -> Any:
        """An adapter whose connections know one TLS context and big blocks."""
        from requests.adapters import HTTPAdapter

        class Adapter(HTTPAdapter):
            def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **more: Any) -> None:
                super().init_poolmanager(connections, maxsize, block, blocksize=BLOCK, ssl_context=context, **more)

            def proxy_manager_for(self, proxy: str, **more: Any) -> Any:
                return super().proxy_manager_for(proxy, blocksize=BLOCK, ssl_context=context, **more)

            def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
                host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
                return host, {}  # the context says all there is to say about certificates

            def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
                pass

        return Adapter(pool_connections=POOL, pool_maxsize=POOL)

    def _mount(self, netloc: str) -> None:
        with self._lock:
            if netloc not in self._hosts:
                self._session.mount(f"https://{netloc}", self._adapter(self._trust.context(netloc)))
                self._hosts.add(netloc)

    def send(self, request: Request) -> Response:
        """See Transport."""
        import requests

        parts = urlsplit(request.url)
        if parts.scheme == "https":
            self._mount(parts.netloc.lower())
        body: Any = request.body
        if body is not None and not isinstance(body, bytes):
            body = Outgoing(body, request.size) if request.size else b""
        try:
            prepared = self._session.prepare_request(
                requests.Request(request.method, request.url, headers=dict(request.headers), data=body)
            )
            prepared.url = request.url  # signatures are over the bytes of a URL: no tidying
            answer = self._session.send(
                prepared,
                stream=True,
                allow_redirects=False,
                timeout=(self._connect_seconds, self._read_seconds + request.size / SETTLING),
                proxies=self._trust.proxies(parts.scheme, parts.netloc),
            )
        except requests.exceptions.SSLError as error:
            if hung_up(error):
                raise Unavailable(host_of(request.url), f"no answer to {request.method}: {reason(error)}") from None
            raise Untrusted(host_of(request.url), f"TLS failed: {reason(error)}", help=tls_help(error)) from None
        except (requests.exceptions.RequestException, OSError, ValueError) as error:
            raise Unavailable(host_of(request.url), f"no answer to {request.method}: {reason(error)}") from None
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Response(answer.status_code, headers, request.url, Incoming(answer.raw, request.url))


class Stored(io.BytesIO):
    """A Stream of bytes in memory: for answers that need no wire."""

    def read(self, size: int | None = -1, /) -> bytes:
        """See Stream."""
        return super().read(size)


def hung_up(error: BaseException) -> bool:
    """True if the TLS library only tells that the other end has gone, which proves nothing about it."""
    import ssl

    causes = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
    return any(isinstance(cause, causes) for cause in causes_of(error))


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """An error and what it wraps, outermost first: requests and urllib3 wrap in several ways."""
    seen: set[int] = set()
    inner: Any = error
    while isinstance(inner, BaseException) and id(inner) not in seen:
        seen.add(id(inner))
        yield inner
        inner = (
            getattr(inner, "reason", None)
            or inner.__cause__
            or next((part for part in inner.args if isinstance(part, BaseException)), None)
        )


def reason(error: BaseException) -> str:
    """The innermost cause in few words, which say all that is worth to be told of it."""
    import http.client

    *_, error = causes_of(error)
    if isinstance(error, http.client.IncompleteRead):
        return f"{error.expected} bytes are missing" if error.expected is not None else "its end is missing"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error.args[-1] if error.args else error) or type(error).__name__
    return text.rpartition("object at ")[2].partition(": ")[2] or text


def tls_help(error: BaseException) -> str:
    """What to do about a failed handshake."""
    text = repr(error)
    if "WRONG_VERSION_NUMBER" in text or "record layer failure" in text:
        return "it seems to speak plain HTTP; if that is meant, use --tls-verify=false"
    return "put its CA into /etc/containers/certs.d/HOST/ca.crt, or use --tls-verify=false if you know why"

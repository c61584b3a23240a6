"""Talk to registries: Transport, Retry, Authenticator and redirects as one `send`.

The rules of safety live here: authorization goes to the registry's own origin only; a redirect may
change the host but never fall from https to http, nor lead to an inner address; at most ten of them.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Collection
from typing import BinaryIO
from urllib.parse import urljoin, urlsplit

from layers.quick import replace
from registry.auth import Authenticator
from registry.credentials import HUB_NAMES, Credential, Credentials
from registry.errors import (
    Denied,
    NotFound,
    ProtocolViolation,
    RateLimited,
    RegistryError,
    Unauthorized,
    Unavailable,
    Untrusted,
)
from registry.retry import AGAIN, Retry
from registry.transport import ERROR_BODY, Request, RequestsTransport, Response, Transport, bare
from registry.trust import Trust, literal_kind

HOPS = 10
CHALLENGES = 2
"""How often authorization is got for one request, the one that is sent ahead included."""
MOVED = frozenset({301, 302, 303, 307, 308})


class Client:
    """One for a whole run: it keeps connections, tokens and what it learnt of each host. Thread-safe."""

    def __init__(
        self,
        *,
        credentials: Credentials | None = None,
        trust: Trust | None = None,
        transport: Transport | None = None,
        retry: Retry | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.trust = trust or Trust()
        self.retry = retry or Retry()
        self.credentials = credentials or Credentials()
        self.tell = tell or (lambda text: None)
        """Called with what the user should know although nothing failed."""
        self._transport = transport or RequestsTransport(self.trust)
        self._auth = Authenticator(self.credentials, self.trust, self._fetch_token)
        self._bases: dict[str, str] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self._warnings: set[str] = set()

    def variant(self, *, given: bool, insecure: Collection[str] = (), tries: int | None = None) -> Client:
        """A client for other hosts of the same run: without the `given` credentials, or with more `insecure` hosts."""
        return Client(
            credentials=self.credentials if given else replace(self.credentials, given=None),
            trust=replace(
                self.trust,
                insecure=self.trust.insecure | set(insecure),
                folder=self.trust.folder if given else "",
            ),
            transport=None if insecure or (self.trust.folder and not given) else self._transport,
            retry=self.retry if tries is None else replace(self.retry, tries=tries),
            tell=self.tell,
        )

    def base(self, host: str) -> str:
        """`scheme://host` of a registry, after asking it once; on the way we learn how it authenticates.

        Raises Unavailable, Untrusted or ProtocolViolation.
        """
        with self._lock:
            lock = self._locks.setdefault(host, threading.Lock())
        with lock:
            if host not in self._bases:
                self._bases[host] = self._ping(host)
            return self._bases[host]

    def _ping(self, host: str) -> str:
        netloc = "registry-1.docker.io" if host in HUB_NAMES else host
        schemes = ["https"]
        if literal_kind(netloc) == "loopback":
            schemes = ["http", "https"]  # nothing secret goes out with a ping, and loopback is no wire
        elif self.trust.is_insecure(netloc):
            schemes = ["https", "http"]
        answer: Response | None = None
        failed: RegistryError | None = None
        for scheme in schemes:
            request = Request("GET", f"{scheme}://{netloc}/v2/")
            last = scheme == schemes[-1]
            try:
                answer = self._exchange(request, lost=last)
            except (Unavailable, Untrusted) as error:
                failed = failed or error
                if scheme == "https" or last:
                    if last:
                        raise failed if isinstance(failed, Untrusted) else error from None
                    continue
                if refused(error):
                    raise
                continue
            with answer:
                if answer.status == 400 and not last:
                    continue  # how TLS servers greet plain HTTP
                if answer.status == 401:
                    self._auth.learn(host, answer.headers.get("www-authenticate", ""))
                elif answer.status == 404:
                    raise ProtocolViolation(host, "is no OCI registry: it knows no /v2/", status=404)
                elif answer.status >= 400 and answer.status != 403:
                    raise failure(host, "cannot be asked", answer)
                return f"{scheme}://{netloc}"
        raise Unavailable(host, "does not answer")

    def check(self, host: str) -> None:
        """Ask the registry whether it takes our credential. Raises Unauthorized or Denied."""
        base = self.base(host)
        self.send(Request("GET", f"{base}/v2/"), host=host, what="cannot log in").close()

    def send(
        self,
        request: Request,
        *,
        host: str,
        path: str = "",
        scopes: Collection[str] = (),
        accept: Collection[int] = (200,),
        what: str = "the request failed",
        retry: bool = True,
        lost: bool = True,
    ) -> Response:
        """Exchange a request for a response whose status is in `accept`; anything else becomes an error.

        `host` is the registry (credentials are looked up for it and go to it only), `path` the
        repository, `what` the beginning of the error's text. `retry`: try again what may go better;
        `lost`: also when no answer came, although the request may have been carried out.
        Raises the errors of registry.errors.
        """
        own = self.base(host)
        wanted = frozenset(scopes)
        start = position(request.body)
        answer = self._authorized(request, own, host, path, wanted, retry=retry, lost=lost)
        hops = 0
        while answer.status in MOVED and answer.status not in accept:
            answer.close()
            hops += 1
            if hops > HOPS:
                raise ProtocolViolation(host, f"{what}: more than {HOPS} redirects")
            request = self._moved(request, answer, host, what, start)
            answer = self._authorized(request, own, host, path, wanted, retry=retry, lost=lost)
        self._note_warning(host, answer)
        if answer.status in accept:
            return answer
        with answer:
            raise failure(host, what, answer)

    def _moved(self, request: Request, answer: Response, host: str, what: str, start: int | None) -> Request:
        """The request that a redirect asks for. Raises ProtocolViolation if it is not safe to make."""
        place = urljoin(request.url, answer.headers.get("location", ""))
        if request.method not in ("GET", "HEAD") and answer.status not in (307, 308):
            raise ProtocolViolation(host, f"{what}: a {request.method} was redirected", status=answer.status)
        self.check_place(host, request.url, place)
        if start is None:
            raise ProtocolViolation(host, f"{what}: it redirects what cannot be sent twice", status=answer.status)
        rewind(request.body, start)
        return replace(request, url=place)

    def check_place(self, host: str, origin: str, place: str) -> None:
        """Refuse a URL that a registry's answer named, if going there is not safe. Raises ProtocolViolation."""
        old, new = urlsplit(origin), urlsplit(place)
        if new.scheme not in ("http", "https") or not new.netloc or "@" in new.netloc:
            raise ProtocolViolation(host, f"sends us to {bare(place)[:200]!r}, which is no usable URL")
        if old.scheme == "https" and new.scheme == "http":
            raise ProtocolViolation(host, f"sends us from https to plain http at {new.netloc}; refused")
        if not self.trust.allows(old.netloc, new.netloc):
            raise ProtocolViolation(host, f"sends us to {new.netloc}, an inner address; refused")

    def _authorized(
        self, request: Request, own: str, host: str, path: str, scopes: frozenset[str], *, retry: bool, lost: bool
    ) -> Response:
        """The exchange with authorization if the URL is the registry's own, and with challenges answered."""
        if origin_of(request.url) != origin_of(own):
            return self._exchange(request, retry=retry, lost=lost)
        used = self._auth.ahead(host, path, scopes) if scopes or path == "" else None
        start = position(request.body)
        most = CHALLENGES - (used is not None)
        for challenged in range(most + 1):
            headers = dict(request.headers)
            if used:
                headers["Authorization"] = used
            answer = self._exchange(replace(request, headers=headers), retry=retry, lost=lost)
            if answer.status != 401 or challenged == most:
                break
            challenge = self._auth.learn(host, answer.headers.get("www-authenticate", ""))
            if challenge is None or start is None:
                break
            answer.close()
            wider = self._auth.widen(host, path, scopes, challenge.scopes)
            used = self._auth.answer(host, path, challenge, wider, refused=used)
            rewind(request.body, start)
        return answer

    def _fetch_token(self, request: Request) -> Response:
        """A token server's answer; it is not redirected."""
        return self._exchange(request)

    def _exchange(self, request: Request, *, retry: bool = True, lost: bool = True) -> Response:
        """The answer after as many tries as make sense. Raises Unavailable or Untrusted."""
        since = time.monotonic()
        start = position(request.body)
        tried = 0
        while True:
            tried += 1
            try:
                answer = self._transport.send(request)
            except Unavailable as error:
                if not (retry and lost) or start is None or not self.retry.again(error, tried=tried, since=since):
                    raise
            else:
                if answer.status not in AGAIN or not retry or start is None:
                    return answer
                if not self.retry.again(answer, tried=tried, since=since):
                    return answer
                answer.close()
            rewind(request.body, start)

    def _note_warning(self, host: str, answer: Response) -> None:
        """Tell what a server wants to be shown, each text once (distribution-spec, "Warnings")."""
        text = answer.headers.get("warning", "")
        if text.startswith("299 ") and text.isprintable() and text not in self._warnings and len(self._warnings) < 100:
            self._warnings.add(text)
            self.tell(f"{host} says: " + text[4:].lstrip("- ").strip('"')[:1000])


def client(
    *,
    creds: str | None = None,
    registry_token: str | None = None,
    no_creds: bool = False,
    authfile: str | None = None,
    cert_dir: str | None = None,
    retry_times: int | None = None,
    tls_verify: bool = True,
    insecure: Collection[str] = (),
    stop: threading.Event | None = None,
    tell: Callable[[str], None] | None = None,
) -> Client:
    """The Client that flags and environment ask for; `creds` is USER:PASSWORD, `registry_token` a bearer token.

    `no_creds`: none are looked for. `cert_dir` has certificates for whoever is asked, as `certs.d/HOST` has for one.
    """
    from pathlib import Path

    given = None
    if creds is not None:
        username, _, password = creds.partition(":")
        given = Credential(username, password)
    elif registry_token is not None:
        given = Credential(registry_token=registry_token)
    return Client(
        credentials=Credentials(given, Path(authfile) if authfile else None, anonymous=no_creds),
        trust=Trust(frozenset(insecure), everyone=not tls_verify, folder=cert_dir or ""),
        retry=Retry(stop=stop or threading.Event()) if retry_times is None else Retry.times(retry_times, stop),
        tell=tell,
    )


def origin_of(url: str) -> str:
    """`scheme://host` of a URL, without the port that the scheme implies."""
    parts = urlsplit(url)
    usual = {"http": ":80", "https": ":443"}.get(parts.scheme, "")
    return f"{parts.scheme}://{parts.netloc.lower().removesuffix(usual)}"


def refused(error: BaseException) -> bool:
    """True if nobody listens there at all, on any scheme."""
    return "refused" in str(error).lower()


def position(body: bytes | BinaryIO | None) -> int | None:
    """Where a body begins; None if it cannot be sent twice."""
    if body is None or isinstance(body, bytes):
        return 0
    return body.tell() if body.seekable() else None


def rewind(body: bytes | BinaryIO | None, start: int) -> None:
    """Go back to where a body begins."""
    if body is not None and not isinstance(body, bytes):
        body.seek(start)


def failure(host: str, what: str, answer: Response) -> RegistryError:
    """The error that a status and its body mean (OCI distribution-spec, "Error Codes")."""
    code, message = explain(answer)
    text = f"{what}: {message}" if message else what
    status = answer.status
    if status == 401:
        return Unauthorized(host, text, status=status, code=code, help=f"run: pybuild login {host}")
    if status == 403:
        return Denied(host, text, status=status, code=code, help="this user may not do that here")
    if status == 404:
        return NotFound(host, text, status=status, code=code)
    if status == 413:
        hint = "the registry, or a proxy before it, limits the size of one request: let that be raised there"
        return ProtocolViolation(host, text, status=status, code=code, help=hint)
    if status == 429:
        return RateLimited(host, text or "rate limit", status=status, code=code, help="rate limit: wait, or log in")
    if status in AGAIN or status >= 500:
        return Unavailable(host, text, status=status, code=code)
    return ProtocolViolation(host, text, status=status, code=code)


def explain(answer: Response) -> tuple[str | None, str]:
    """Code and message of an error's body, which may be anything; never more than a line of it."""
    try:
        raw = answer.body(ERROR_BODY)
    except RegistryError:
        return None, ""
    try:
        first = json.loads(raw)["errors"][0]
        code, message = str(first.get("code") or ""), str(first.get("message") or "")
        if isinstance(first.get("detail"), str) and first["detail"] not in message:
            message = f"{message}: {first['detail']}"
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        code, message = "", raw.decode(errors="replace").strip().partition("\n")[0]
        if message.startswith("<"):
            message = ""
    shown = "".join(letter if letter.isprintable() else " " for letter in message)[:300]
    return (code[:60] if code.isprintable() else None) or None, shown.strip()

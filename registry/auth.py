"""From a challenge to an Authorization header (RFC 7235; the docker registry token protocol).

Basic is sent ahead once a host has asked for it. Bearer tokens are kept per (host, scopes); many
threads that need the same one cause one request. Credentials and tokens go to the host they are for,
and to the token server that this host names, if that one is safe to talk to.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Collection, Mapping
from urllib.parse import urlencode, urlsplit

from layers.quick import dataclass, field
from registry.credentials import Credential, Credentials
from registry.errors import ProtocolViolation, Unauthorized
from registry.transport import Request, Response, host_of
from registry.trust import Trust

CLIENT_ID = "pybuild"
TOKEN_LIMIT = 1 << 20
HEADER_LIMIT = 8 << 10
SHORTEST_SECONDS = 60
LONGEST_SECONDS = 24 * 3600
EARLY_SECONDS = 10
PIECE = re.compile(
    r"\s*(?:(?P<key>[!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*=\s*(?:\"(?P<quoted>(?:[^\"\\]|\\.)*)\"|(?P<word>[^\s,\"]*))"
    r"|(?P<scheme>[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:\s+[A-Za-z0-9._~+/-]+=*(?=\s*(?:,|$)))?))\s*(?:,|(?=\s)|$)"
)


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to authenticate; the scheme and the keys are lower case."""

    scheme: str
    parameters: Mapping[str, str]

    @property
    def scopes(self) -> frozenset[str]:
        """What a Bearer challenge asks for; a challenge may name several scopes."""
        return frozenset(self.parameters.get("scope", "").split())


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """All challenges of a WWW-Authenticate header, or of several joined by commas; nonsense is skipped."""
    found: list[tuple[str, dict[str, str]]] = []
    position = 0
    header = header[:HEADER_LIMIT]
    while position < len(header):
        piece = PIECE.match(header, position)
        if piece is None or piece.end() == position:
            position += 1
            continue
        position = piece.end()
        if piece["scheme"]:
            found.append((piece["scheme"].split()[0].lower(), {}))
        elif found:
            value = piece["word"] if piece["quoted"] is None else re.sub(r"\\(.)", r"\1", piece["quoted"])
            found[-1][1].setdefault(piece["key"].lower(), value)
    return tuple(Challenge(scheme, parameters) for scheme, parameters in found)


@dataclass(slots=True)
class Token:
    """A bearer token and when, on the monotonic clock, it should no longer be used; `refresh` may get the next one."""

    value: str
    until: float
    refresh: str = field(default="", repr=False)


@dataclass(slots=True)
class Slot:
    """The place of one token; whoever holds the lock may fetch it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    token: Token | None = None


class Authenticator:
    """What is known of each host, and the tokens it gave us. Used by many threads."""

    def __init__(self, credentials: Credentials, trust: Trust, fetch: Callable[[Request], Response]) -> None:
        self._credentials = credentials
        self._trust = trust
        self._fetch = fetch
        self._challenges: dict[str, Challenge] = {}
        self._found: dict[tuple[str, str], Credential | None] = {}
        self._slots: dict[tuple[str, str, frozenset[str]], Slot] = {}
        self._wider: dict[tuple[str, str, frozenset[str]], frozenset[str]] = {}
        self._refreshed: dict[str, str] = {}
        self._lock = threading.Lock()

    def learn(self, host: str, header: str) -> Challenge | None:
        """Remember how a host wants to be asked; None if it does not say."""
        challenges = {challenge.scheme: challenge for challenge in reversed(parse_challenges(header))}
        chosen = challenges.get("bearer") or challenges.get("basic")
        if chosen is not None:
            self._challenges[host] = chosen
        return chosen

    def ahead(self, host: str, path: str, scopes: frozenset[str]) -> str | None:
        """The header to send with a request before anybody asks, if the host is known to ask. Raises Unauthorized."""
        challenge = self._challenges.get(host)
        scopes = self._wider.get((host, path, scopes), scopes)
        if challenge is None or (challenge.scheme == "basic" and self._credential(host, path) is None):
            return None
        return self.answer(host, path, challenge, scopes, refused=None)

    def widen(self, host: str, path: str, scopes: frozenset[str], asked: frozenset[str]) -> frozenset[str]:
        """What to ask for when a host wants `asked` for a request; remembered for the next one like it."""
        held = self._wider.get((host, path, scopes), scopes)
        if merged(held | asked) == held:  # so what was refused gives way, and no older token is tried
            return held
        self._wider[host, path, scopes] = wider = merged(scopes | asked)
        return wider

    def answer(self, host: str, path: str, challenge: Challenge, scopes: frozenset[str], *, refused: str | None) -> str:
        """The header for a challenge; never `refused` again, which did not help. Raises Unauthorized."""
        credential = self._credential(host, path)
        if challenge.scheme == "basic":
            if credential is None or not credential.username:
                raise Unauthorized(host, "it wants a user name and a password", help=f"run: pybuild login {host}")
            if credential.basic == refused:
                raise rejected(host, credential)
            return credential.basic
        if credential is not None and credential.registry_token:
            header = f"Bearer {credential.registry_token}"
            if header == refused:
                raise rejected(host, credential)
            return header
        with self._lock:
            slot = self._slots.setdefault((host, path, scopes), Slot())
        with slot.lock:
            if slot.token and (slot.token.until <= time.monotonic() or f"Bearer {slot.token.value}" == refused):
                slot.token = None
            if slot.token is None:
                slot.token = self._token(host, challenge, scopes, credential)
            return f"Bearer {slot.token.value}"

    def _credential(self, host: str, path: str) -> Credential | None:
        with self._lock:
            if (host, path) not in self._found:
                self._found[host, path] = self._credentials.find(host, path)
            return self._found[host, path]

    def _token(self, host: str, challenge: Challenge, scopes: frozenset[str], credential: Credential | None) -> Token:
        realm = challenge.parameters.get("realm", "")
        self._check_realm(host, realm, credential)
        service = challenge.parameters.get("service", "")
        asked = sorted(scopes)
        if credential is not None and credential.identity_token:
            given = credential.identity_token
            held = self._refreshed.get(given, given)
            form = {"grant_type": "refresh_token", "refresh_token": held, "client_id": CLIENT_ID}
            form |= {"service": service, "scope": " ".join(asked)}
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            with self._fetch(Request("POST", realm, headers, urlencode(form).encode())) as reply:
                if reply.status not in (404, 405):
                    token = read_token(host, reply, credential)
                    if token.refresh:
                        self._refreshed[given] = token.refresh  # in memory only
                    return token
        words = [("service", service)] if service else []
        words += [("scope", scope) for scope in asked]
        headers = {}
        if credential is not None and credential.username:
            words.append(("account", credential.username))
            headers["Authorization"] = credential.basic
        join = "&" if urlsplit(realm).query else "?"
        with self._fetch(Request("GET", realm + (join + urlencode(words) if words else ""), headers)) as reply:
            return read_token(host, reply, credential)

    def _check_realm(self, host: str, realm: str, credential: Credential | None) -> None:
        """A token server gets our password: it must be as safe as the registry, and no inner host of ours."""
        parts = urlsplit(realm)
        if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc:
            raise ProtocolViolation(host, f"its token server {realm[:200]!r} is no usable URL")
        if parts.scheme == "http" and not self._trust.may_be_plain(parts.netloc):
            raise ProtocolViolation(
                host, f"its token server {parts.netloc} speaks plain HTTP; no credentials were sent"
            )
        if not self._trust.allows(host, parts.netloc):
            raise ProtocolViolation(host, f"it names {parts.netloc}, an inner address, as token server; refused")


def merged(scopes: Collection[str]) -> frozenset[str]:
    """One scope for each resource, its actions sorted: docker's registry names them in any order."""
    actions: dict[str, set[str]] = {}
    for scope in scopes:
        resource, colon, words = scope.rpartition(":")
        actions.setdefault(resource + colon or scope, set()).update(words.split(",") if colon else ())
    return frozenset(resource + ",".join(sorted(words)) for resource, words in actions.items())


def rejected(host: str, credential: Credential, *, status: int | None = 401) -> Unauthorized:
    """The credential is wrong."""
    who = f"user {credential.username!r}" if credential.username else "the token"
    return Unauthorized(
        host, f"does not accept {who} from {credential.source}", status=status, help=f"run: pybuild login {host}"
    )


def read_token(host: str, reply: Response, credential: Credential | None) -> Token:
    """The token of a token server's reply. Raises Unauthorized or ProtocolViolation."""
    if reply.status in (400, 401, 403):
        if credential is not None:
            raise rejected(host, credential, status=reply.status)
        raise Unauthorized(host, "gives no anonymous access", status=reply.status, help=f"run: pybuild login {host}")
    if reply.status != 200:
        raise ProtocolViolation(host, f"its token server {host_of(reply.url)} failed", status=reply.status)
    try:
        value = json.loads(reply.body(TOKEN_LIMIT))
        token = value.get("token") or value.get("access_token")
    except (ValueError, RecursionError, AttributeError) as error:
        raise ProtocolViolation(host, f"its token server {host_of(reply.url)} sent no JSON object") from error
    if not isinstance(token, str) or not re.fullmatch(r"[!-~]+", token):
        raise ProtocolViolation(host, f"its token server {host_of(reply.url)} sent no token")
    life = value.get("expires_in")
    seconds = min(max(SHORTEST_SECONDS, life if isinstance(life, int | float) and life > 0 else 0), LONGEST_SECONDS)
    again = value.get("refresh_token")
    return Token(token, time.monotonic() + seconds - EARLY_SECONDS, again if isinstance(again, str) else "")

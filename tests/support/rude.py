"""A small registry on 127.0.0.1 that is honest until a test tells it what to do wrong.

`Rude` keeps blobs, manifests and uploads in memory and speaks enough of the OCI distribution-spec for pushes and pulls.
A test adds rules: for requests of a method and path, this many times, a `Reply` or a function that makes one (which may
ask `honest` first and change the answer). Everything that came in is in `seen`, in order.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any
from urllib.parse import parse_qs, quote

from tests.support.soon import soon

FOREVER = 1 << 30
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True, slots=True)
class Ask:
    """A request as it came; header names are lower case, `path` is without the query."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def parameters(self) -> dict[str, list[str]]:
        """The query, decoded."""
        return parse_qs(self.query, keep_blank_values=True)


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer.

    claimed: the Content-Length, if it is to be a lie. cut: bytes of the body after which the connection is closed.
    piece, pause: the body goes out in such pieces with such pauses (seconds). silent: close without a word.
    take: bytes of the request's body that are read before the connection is closed, without an answer.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    claimed: int | None = None
    cut: int | None = None
    piece: int = 1 << 18
    pause: float = 0.0
    silent: bool = False
    take: int | None = None


Act = Callable[[Ask], Reply]


@dataclass(slots=True)
class Rule:
    """What to do with requests of a method (a regular expression) to a path (another), `times` times."""

    method: str
    path: str
    act: Reply | Act
    times: int

    def fits(self, method: str, path: str) -> bool:
        """True if it is for this request and has not been used up."""
        return self.times > 0 and bool(re.fullmatch(self.method, method)) and bool(re.search(self.path, path))


class Rude:
    """The registry. `host` is what stands before the slash of a reference."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.uploads: dict[str, bytearray] = {}
        self._sessions = count()
        self.rules: list[Rule] = []
        self.seen: list[Ask] = []
        self.connections = 0
        self.sent = 0
        """Bytes of bodies of blobs that went out."""
        self.referrers = False
        self.chunk_least: int | None = None
        self.turn = threading.Lock()
        self.over = threading.Event()
        self._server = Server(self, tls)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"{'https' if tls else 'http'}://{self.host}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop; no thread is left when it has stopped."""
        self._server.shutdown()
        self._server.server_close()
        self.over.set()
        for one in list(self._server.open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        assert soon(lambda: self.quiet)

    @property
    def quiet(self) -> bool:
        """Whether nobody is connected."""
        return not self._server.open

    def rule(self, method: str, path: str, act: Reply | Act, times: int = 1) -> None:
        """Do this for the next such requests; earlier rules go first."""
        self.rules.append(Rule(method, path, act, times))

    def asked(self, method: str = ".*", path: str = "") -> list[Ask]:
        """Requests of this kind so far, without the first look at /v2/."""
        return [
            ask
            for ask in list(self.seen)
            if re.fullmatch(method, ask.method) and re.search(path, ask.path) and (path or ask.path != "/v2/")
        ]

    def blob(self, data: bytes, algorithm: str = "sha256") -> str:
        """Keep a blob; its digest."""
        digest = f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"
        self.blobs[digest] = data
        return digest

    def manifest(self, repository: str, tag: str, document: Mapping[str, Any] | bytes, kind: str = OCI_MANIFEST) -> str:
        """Keep a manifest under its digest and a tag; its digest."""
        raw = document if isinstance(document, bytes) else json.dumps(document).encode()
        digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
        self.manifests[repository, digest] = self.manifests[repository, tag] = (kind, raw)
        return digest

    # -- what an honest registry answers ---------------------------------------------------------

    def honest(self, ask: Ask) -> Reply:
        """The right answer."""
        if ask.path == "/v2/":
            return Reply(body=b"{}")
        if found := re.fullmatch(r"/v2/(.+)/(manifests|blobs|referrers)/([^/]+)", ask.path):
            repository, room, name = found.groups()
            with self.turn:
                if room == "manifests":
                    return self._manifest(ask, repository, name)
                return self._blob(ask, name) if room == "blobs" else self._list(ask, repository, name)
        if found := re.fullmatch(r"/v2/(.+)/blobs/uploads/([^/]*)", ask.path):
            with self.turn:
                return self._upload(ask, *found.groups())
        return mistake(404, "NAME_UNKNOWN")

    def _manifest(self, ask: Ask, repository: str, name: str) -> Reply:
        if ask.method == "PUT":
            kind = ask.headers["content-type"]
            value = json.loads(ask.body)
            digest = f"sha256:{hashlib.sha256(ask.body).hexdigest()}"
            gone = [one["digest"] for one in value.get("layers", ()) if one["digest"] not in self.blobs]
            if gone and not any("urls" in one for one in value["layers"]):
                return mistake(400, "MANIFEST_BLOB_UNKNOWN")
            self.manifests[repository, name] = self.manifests[repository, digest] = (kind, ask.body)
            subject = {"OCI-Subject": value["subject"]["digest"]} if self.referrers and "subject" in value else {}
            return Reply(201, {"Docker-Content-Digest": digest, "Location": ask.path, **subject})
        if (repository, name) not in self.manifests:
            return mistake(404, "MANIFEST_UNKNOWN")
        kind, raw = self.manifests[repository, name]
        digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
        return Reply(headers={"Content-Type": kind, "Docker-Content-Digest": digest}, body=raw)

    def _blob(self, ask: Ask, digest: str) -> Reply:
        if (data := self.blobs.get(digest)) is None:
            return mistake(404, "BLOB_UNKNOWN")
        headers = {"Content-Type": "application/octet-stream", "Docker-Content-Digest": digest}
        if (wish := re.fullmatch(r"bytes=(\d+)-", ask.headers.get("range", ""))) is None:
            return Reply(headers=headers, body=data)
        start = int(wish[1])
        if start >= len(data):
            return Reply(416, {"Content-Range": f"bytes */{len(data)}"})
        told = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
        return Reply(206, {**headers, **told}, data[start:])

    def _list(self, ask: Ask, repository: str, subject: str) -> Reply:
        if not self.referrers:
            return Reply(404, {"Content-Type": "text/plain"}, b"404 page not found")
        found = {}
        for (where, _), (kind, raw) in self.manifests.items():
            value = json.loads(raw)
            if where == repository and value.get("subject", {}).get("digest") == subject:
                digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
                found[digest] = {"mediaType": kind, "digest": digest, "size": len(raw)}
                found[digest]["artifactType"] = value.get("artifactType", value["config"]["mediaType"])
        body = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(found.values())}
        return Reply(headers={"Content-Type": OCI_INDEX}, body=json.dumps(body).encode())

    def _upload(self, ask: Ask, repository: str, session: str) -> Reply:
        words = ask.parameters
        if ask.method == "POST":
            if words.get("mount", [""])[0] in self.blobs:
                return Reply(201, {"Docker-Content-Digest": words["mount"][0]})
            session = f"u{next(self._sessions)}"
            self.uploads[session] = bytearray()
        if session not in self.uploads:
            return mistake(404, "BLOB_UPLOAD_UNKNOWN")
        data = self.uploads[session]
        headers = {"Location": f"/v2/{repository}/blobs/uploads/{session}?state={len(data)}"}
        if ask.method == "POST":
            least = {"OCI-Chunk-Min-Length": str(self.chunk_least)} if self.chunk_least else {}
            return Reply(202, {**headers, **least, "Range": "0-0"})
        if ask.method == "PATCH":
            start = int(ask.headers.get("content-range", "0-").partition("-")[0])
            if start != len(data):
                return Reply(416, {**headers, "Range": f"0-{max(0, len(data) - 1)}"})
            data += ask.body
        place = f"/v2/{repository}/blobs/uploads/{session}?state={len(data)}"
        told = {"Location": place, "Range": f"0-{max(0, len(data) - 1)}"}
        if ask.method == "PATCH":
            return Reply(202, told)
        if ask.method == "GET":
            return Reply(204, told)
        del self.uploads[session]
        if ask.method == "DELETE":
            return Reply(204)
        whole = bytes(data) + ask.body
        digest = words["digest"][0]
        algorithm, _, value = digest.partition(":")
        if hashlib.new(algorithm, whole).hexdigest() != value:
            return mistake(400, "DIGEST_INVALID")
        self.blobs[digest] = whole
        return Reply(201, {"Docker-Content-Digest": digest, "Location": f"/v2/{repository}/blobs/{quote(digest)}"})


class Server(http.server.ThreadingHTTPServer):
    """Threads for connections; quiet when a client goes away."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, rude: Rude, tls: ssl.SSLContext | None) -> None:
        self.rude = rude
        self.open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), Handler)
        self.tls = tls

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread: a handshake that fails or hangs holds up nobody else."""
        with self.rude.turn:
            self.rude.connections += 1
            self.open.add(request)
        try:
            if self.tls is None:
                super().finish_request(request, client_address)
                return
            inner = self.tls.wrap_socket(request.dup(), server_side=True)
            with closing(inner):
                super().finish_request(inner, client_address)
        finally:
            with self.rude.turn:
                self.open.discard(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is what tests are about."""


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def answer(self) -> None:
        """Find what to do, and do it."""
        rude = self.server.rude
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        with rude.turn:
            rule = next((rule for rule in rude.rules if rule.fits(self.command, path)), None)
            if rule is not None:
                rule.times -= 1
        ask = Ask(self.command, path, query, headers)
        length = int(headers.get("content-length", 0))
        if rule is not None and isinstance(rule.act, Reply) and rule.act.take is not None:
            ask = replace(ask, body=self.rfile.read(min(rule.act.take, length)))
            with rude.turn:
                rude.seen.append(ask)
                if (session := path.rpartition("/")[2]) in rude.uploads:
                    rude.uploads[session] += ask.body  # what came before the cut is kept
            self.close_connection = True
            return
        ask = replace(ask, body=self.rfile.read(length))
        with rude.turn:
            rude.seen.append(ask)
        act = rude.honest if rule is None else rule.act
        self.say(act if isinstance(act, Reply) else act(ask))

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def say(self, reply: Reply) -> None:
        """Send a reply as badly as it says."""
        if reply.silent:
            self.close_connection = True
            return
        self.send_response(reply.status)
        length = len(reply.body) if reply.claimed is None else reply.claimed
        framing = {} if "Transfer-Encoding" in reply.headers else {"Content-Length": str(length)}
        for name, value in {**framing, **reply.headers}.items():
            for one in value.split("\n"):
                self.send_header(name, one)
        self.end_headers()
        if self.command == "HEAD" or reply.status in (204, 304):
            return
        body = memoryview(reply.body)[: reply.cut]
        while body:
            if "/blobs/" in self.path:  # counted first: who has received it may look at once
                with self.server.rude.turn:
                    self.server.rude.sent += len(body[: reply.piece])
            self.wfile.write(body[: reply.piece])
            body = body[reply.piece :]
            if reply.pause:
                self.server.rude.over.wait(reply.pause)
        self.close_connection = self.close_connection or reply.cut is not None or length != len(reply.body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def mistake(status: int, code: str, message: str = "") -> Reply:
    """An error of a registry."""
    body = {"errors": [{"code": code, "message": message or code.lower().replace("_", " ")}]}
    return Reply(status, {"Content-Type": "application/json"}, json.dumps(body).encode())


@contextmanager
def rude(tls: ssl.SSLContext | None = None) -> Iterator[Rude]:
    """A registry for a while."""
    server = Rude(tls)
    try:
        yield server
    finally:
        server.close()


class Doorman:
    """A token server within a `Rude`: every other path needs a token of the right scopes (or a password: basic).

    `challenge` makes the WWW-Authenticate header from the scope that is missing; `answer` the token's reply.
    """

    def __init__(self, rude: Rude, *, user: str = "", password: str = "", identity: str = "") -> None:
        self.rude = rude
        self.realm = f"{rude.url}/token"
        self.user, self.password, self.identity = user, password, identity
        self.asked: list[Ask] = []
        self.tokens: dict[str, frozenset[str]] = {}
        self.life: Mapping[str, Any] = {}
        self.field = "token"
        self.post = True
        rude.rule("GET|POST", "^/token$", self.token, FOREVER)
        rude.rule(".*", "^/v2/", self.door, FOREVER)

    def token(self, ask: Ask) -> Reply:
        """A token for what is asked, if the credential is right."""
        import base64

        self.asked.append(ask)
        if ask.method == "POST":
            if not self.post:
                return Reply(404)
            form = parse_qs(ask.body.decode())
            if form["refresh_token"][0] != self.identity:
                return mistake(401, "UNAUTHORIZED")
            scopes = form.get("scope", [""])[0].split()
        else:
            basic = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
            if self.user and ask.headers.get("authorization") != f"Basic {basic}":
                return mistake(401, "UNAUTHORIZED")
            scopes = ask.parameters.get("scope", [])
        token = f"token-{len(self.tokens)}"
        self.tokens[token] = frozenset(scopes)
        return Reply(body=json.dumps({self.field: token, **self.life}).encode())

    def needed(self, ask: Ask) -> frozenset[str]:
        """The scopes of a request."""
        found = re.match(r"/v2/(.+)/(?:manifests|blobs|referrers)/", ask.path)
        if found is None:
            return frozenset()
        words = "pull" if ask.method in ("GET", "HEAD") else "pull,push"
        return frozenset({f"repository:{found[1]}:{words}"})

    def door(self, ask: Ask) -> Reply:
        """401 with a challenge, or the honest answer."""
        token = ask.headers.get("authorization", "").removeprefix("Bearer ")
        missing = self.needed(ask)
        held = self.tokens.get(token)
        rights = {one for scope in held or () for one in (scope, scope.replace(":pull,push", ":pull"))}
        if held is None or not missing <= rights:
            scope = f',scope="{" ".join(sorted(missing))}"' if missing else ""
            return Reply(401, {"WWW-Authenticate": f'Bearer realm="{self.realm}",service="rude"{scope}'})
        return self.rude.honest(ask)

"""A registry of the test's own: lists and deletions only, with the manners that a test gives it."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from layers import Digest
from layers.oci import mediatypes


@dataclass
class Rude:
    """What a registry of the test's own answers."""

    pages: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    """By the value of `last`: the body and the Link header."""
    tags: dict[str, str] = field(default_factory=dict)
    manifests: dict[str, bytes] = field(default_factory=dict)
    by_tag: int = 405
    by_digest: int = 202
    asked: list[str] = field(default_factory=list)
    fails_after: int = 1000
    """How many digests it deletes before it does not any more."""


@contextmanager
def serving(rude: Rude) -> Iterator[str]:
    """The registry, on a port of 127.0.0.1."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            for key, word in headers.items():
                self.send_header(key.replace("_", "-"), word)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def _any(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            rude.asked.append(f"{self.command} {parts.path.removeprefix('/v2/app/')}")
            if parts.path.endswith(("/tags/list", "/_catalog")):
                page, link = rude.pages[parse_qs(parts.query).get("last", [""])[0]]
                if b'"repositories"' in page and parts.path.endswith("/tags/list"):
                    self._answer(404, b'{"errors":[{"code":"NAME_UNKNOWN"}]}')
                    return
                self._answer(200, page, **({"Link": link} if link else {}))
            elif "/manifests/" in parts.path:
                self._manifest(parts.path.rpartition("/")[2], body)
            elif self.command == "HEAD":
                self._answer(404)
            elif self.command == "POST":
                self._answer(202, Location="/v2/app/blobs/uploads/1")
            else:
                self._answer(201 if self.command == "PUT" else 200)

        def _manifest(self, name: str, body: bytes) -> None:
            digest = rude.tags.get(name, name)
            if self.command == "PUT":
                digest = str(Digest.of(body))
                rude.manifests[digest] = body
                if ":" not in name:
                    rude.tags[name] = digest
                self._answer(201)
            elif digest not in rude.manifests:
                self._answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')
            elif self.command == "DELETE":
                status = rude.by_digest if ":" in name else rude.by_tag
                if ":" in name:
                    rude.fails_after -= 1
                    status = status if rude.fails_after >= 0 else 418
                if status == 202 and ":" in name:
                    del rude.manifests[name]
                    rude.tags = {tag: other for tag, other in rude.tags.items() if other != name}
                elif status == 202:
                    del rude.tags[name]
                self._answer(status, b'{"errors":[{"code":"UNSUPPORTED","message":"a teapot"}]}')
            else:
                self._answer(
                    200, rude.manifests[digest], Content_Type=mediatypes.OCI_MANIFEST, Docker_Content_Digest=digest
                )

        do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _any

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def page(*names: str | int | None) -> bytes:
    return json.dumps({"name": "app", "tags": names or None}).encode()

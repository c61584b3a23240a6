"""The distribution-spec spoken word for word: requests by http.client, content made by hand."""

from __future__ import annotations

import hashlib
import http.client
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

OCI = "application/vnd.oci.image."
MANIFEST = f"{OCI}manifest.v1+json"
INDEX = f"{OCI}index.v1+json"
CONFIG = f"{OCI}config.v1+json"
LAYER = f"{OCI}layer.v1.tar+gzip"
EMPTY = "application/vnd.oci.empty.v1+json"
BINARY = {"Content-Type": "application/octet-stream"}


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    """The name of some bytes."""
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def describe(data: bytes, kind: str, algorithm: str = "sha256", **more: Any) -> dict[str, Any]:
    """A descriptor of some bytes."""
    return {"mediaType": kind, "digest": digest_of(data, algorithm), "size": len(data), **more}


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back; header names in lower case, those that came several times in order."""

    status: int
    headers: Mapping[str, list[str]]
    body: bytes

    def header(self, name: str) -> str:
        """A header that has to be there once."""
        (value,) = self.headers[name.lower()]
        return value

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of an error answer."""
        return str(self.json["errors"][0]["code"])


class Speaker:
    """One connection to one registry, and what most tests begin with."""

    def __init__(self, host: str, repository: str = "contract", **options: Any) -> None:
        self.connection = http.client.HTTPConnection(host, timeout=30, **options)
        self.repository = repository

    def __call__(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """One request. A path that begins with a slash is whole; another one is below the repository."""
        whole = path if path.startswith("/") else f"/v2/{self.repository}/{path}"
        chunked = body is not None and not isinstance(body, bytes)
        asked = {"Accept": f"{MANIFEST}, {INDEX}", **(headers or {})}
        asked |= {"Transfer-Encoding": "chunked"} if chunked else {}
        self.connection.request(method, whole, body, asked, encode_chunked=chunked)
        answer = self.connection.getresponse()
        told: dict[str, list[str]] = {}
        for name, value in answer.getheaders():
            told.setdefault(name.lower(), []).append(value)
        return Reply(answer.status, told, answer.read())

    def start(self, query: str = "") -> str:
        """Begin an upload; where it goes on."""
        reply = self("POST", f"blobs/uploads/{query}")
        assert reply.status == 202, reply
        return self.place(reply)

    def place(self, reply: Reply) -> str:
        """The path and query of a Location."""
        host = f"http://{self.connection.host}:{self.connection.port}"
        return urljoin(host, reply.header("Location")).removeprefix(host)

    def blob(self, data: bytes, algorithm: str = "sha256") -> str:
        """Push a blob in one piece; its digest."""
        digest = digest_of(data, algorithm)
        reply = self("PUT", finishing(self.start(f"?digest-algorithm={algorithm}"), digest), data, BINARY)
        assert reply.status == 201, reply
        return digest

    def manifest(self, data: bytes, name: str, kind: str = MANIFEST) -> Reply:
        """Push a manifest under a tag or digest."""
        return self("PUT", f"manifests/{name}", data, {"Content-Type": kind})

    def image(self, name: str, seed: str = "", **more: Any) -> bytes:
        """Push a manifest of an artifact of one blob, and the blob; its bytes. `more` are further fields of it."""
        raw = self.artifact(seed or name, **more)
        reply = self.manifest(raw, name)
        assert reply.status == 201, reply
        return raw

    def artifact(self, seed: str, **more: Any) -> bytes:
        """A manifest whose blobs are pushed."""
        layer = f"content of {seed}".encode()
        self.blob(layer)
        self.blob(b"{}")
        value = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": describe(b"{}", EMPTY),
            "layers": [describe(layer, "text/plain")],
            **more,
        }
        return json.dumps(value, indent=1).encode()


def finishing(place: str, digest: str) -> str:
    """Where an upload ends."""
    return f"{place}{'&' if '?' in place else '?'}digest={digest}"


def index_of(*entries: Mapping[str, Any], **more: Any) -> bytes:
    """An index."""
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries, **more}).encode()

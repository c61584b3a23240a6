"""A client of registries that knows no credentials but the test's and loses no time between tries."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

from layers import Descriptor, Digest, Reference
from registry.credentials import Credentials
from registry.remote import RemoteRepository
from registry.retry import Retry
from registry.session import Client
from registry.transport import RequestsTransport
from registry.trust import Trust
from tests.support.rude import OCI_MANIFEST, Rude

CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
OCTETS = "application/octet-stream"


def quick(
    *, environment: dict[str, str] | None = None, read_seconds: float = 5.0, connect_seconds: float = 2.0, **more: Any
) -> Client:
    """A Client; `more` goes to its Retry or, for tell, credentials, trust, to itself."""
    own = {name: more.pop(name) for name in ("tell", "credentials", "trust") if name in more}
    trust = own.pop("trust", Trust(environment={}))
    transport = RequestsTransport(trust, connect_seconds=connect_seconds, read_seconds=read_seconds)
    own.setdefault("credentials", Credentials(environment=environment or {"HOME": "/nonexistent"}))
    return Client(trust=trust, transport=transport, retry=Retry(**{"first": 0.005, **more}), **own)


def repository(rude: Rude, client: Client | None = None, *, path: str = "some/app", **sizes: int) -> RemoteRepository:
    """A repository of a registry."""
    return RemoteRepository(Reference(rude.host, path), client or quick(), **sizes)


def noise(size: int, seed: int = 1) -> bytes:
    """Bytes that do not compress, always the same."""
    return random.Random(seed).randbytes(size)


def named(data: bytes, kind: str = OCTETS, algorithm: str = "sha256") -> Descriptor:
    """The descriptor of some bytes."""
    return Descriptor(kind, Digest.of(data, algorithm), len(data))


def serve_image(rude: Rude, tag: str, layers: list[Descriptor], config: bytes, *, path: str = "some/app") -> str:
    """Let a registry have an image of blobs that it has; the digest of its manifest."""
    rude.blob(config)
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": named(config, CONFIG).to_json(),
        "layers": [layer.to_json() for layer in layers],
    }
    return rude.manifest(path, tag, document)


def stream(data: bytes, *, once: bool = False) -> Any:
    """A source of a blob; `once`: one that cannot be read again."""
    return Once(data) if once else io.BytesIO(data)


class Once(io.RawIOBase):
    """Bytes that come once."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer."""
        return self._data.readinto(buffer)


def folder(path: Path, **files: str) -> Path:
    """A directory with these files, each name with its last `_` for a dot."""
    path.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        stem, _, end = name.rpartition("_")
        (path / f"{stem}.{end}").write_text(text)
    return path

"""Files as artifacts in a registry, alone or attached to an image (OCI image-spec, manifest.md, "subject").

oras makes the manifests and knows the conventions of titles and types; every request goes through our own client, which
authenticates, retries and keeps secrets from other hosts, and every blob that comes is hashed before it is believed.
"""

from __future__ import annotations

import hashlib
import io
import json as encoder
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import oras.oci
import oras.provider
import oras.schemas
import requests

from layers import BlobMismatch, Descriptor, Digest, Reference
from layers.oci.mediatypes import OCI_EMPTY, OCI_MANIFEST
from registry.errors import ProtocolViolation
from registry.referrers import note
from registry.remote import RemoteRepository
from registry.session import Client
from registry.transport import Request

TITLE = "org.opencontainers.image.title"
BODY = 4 << 20
"""Bytes of a document that are read."""
CHUNK = 1 << 20
WELL = (200, 201, 202)


class Oras(oras.provider.Registry):  # type: ignore[misc]
    """oras's registry over our client: it asks, we carry; failures are ours, a pinned document is the pinned one."""

    def __init__(self, client: Client, reference: Reference) -> None:
        self._client = client
        self._reference = reference
        scheme = client.base(reference.host).partition("://")[0]
        super().__init__(hostname=reference.host, insecure=scheme == "http", auth_backend="basic")
        self.auth.load_configs = lambda *_, **__: True  # credentials are none of its business

    def do_request(  # noqa: PLR0917 the signature is oras's
        self,
        url: str,
        method: str = "GET",
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        stream: bool = False,
    ) -> requests.Response:
        """One exchange, as oras wants it: a response of requests. Raises RegistryError."""
        data = data if json is None else encoded(json)
        given = {key: str(value) for key, value in (headers or {}).items() if key.lower() != "content-length"}
        answer = self._client.send(
            Request(method, url, given, data, len(data) if data else 0),
            host=self._reference.host,
            path=self._reference.path,
            scopes=(f"repository:{self._reference.path}:{'pull' if method in ('GET', 'HEAD') else 'pull,push'}",),
            accept=WELL,
            what=f"cannot {'read' if method in ('GET', 'HEAD') else 'write'} the artifact {self._reference}",
        )
        with answer:
            body = answer.body(BODY) if method != "HEAD" else b""
        pinned = url.rpartition("/")[2]
        if method == "GET" and ":" in pinned and str(Digest.of(body, pinned.partition(":")[0])) != pinned:
            raise ProtocolViolation(self._reference.host, f"sent other bytes than those of {pinned}")
        response = requests.Response()
        response.status_code = answer.status
        response.headers.update(answer.headers)
        response.url = answer.url
        response.raw = io.BytesIO(body)
        return response


def push(
    client: Client,
    reference: Reference,
    files: Sequence[str],
    *,
    artifact_type: str,
    annotations: Mapping[str, str],
    subject: Descriptor | None = None,
) -> Descriptor:
    """Send files, each `PATH[:TYPE]`, under a tag, or under none; with `subject` as a referrer of an image.

    Raises RegistryError, and OSError for a file that cannot be read.
    """
    remote = RemoteRepository(reference, client)
    manifest = oras.oci.NewManifest()
    manifest["mediaType"] = OCI_MANIFEST
    manifest["artifactType"] = artifact_type
    for text in files:
        path, _, kind = text.partition(":")
        layer = oras.oci.NewLayer(path, media_type=kind or "application/octet-stream")
        layer["annotations"] = {TITLE: os.path.basename(path)}
        manifest["layers"].append(layer)
        with Path(path).open("rb") as source:
            send(remote, Descriptor(layer["mediaType"], Digest.parse(layer["digest"]), layer["size"]), source)
    empty = Descriptor.of(b"{}", OCI_EMPTY)
    send(remote, empty, io.BytesIO(b"{}"))
    manifest["config"] = empty.to_json()
    if not files:
        manifest["layers"].append(empty.to_json())
    if annotations:
        manifest["annotations"] = dict(annotations)
    if subject is not None:
        manifest["subject"] = {"mediaType": subject.media_type, "digest": str(subject.digest), "size": subject.size}
    raw = encoded(manifest)
    found = Descriptor.of(raw, OCI_MANIFEST)
    place = str(reference) if reference.tag else f"{reference.repository}@{found.digest}"
    provider = Oras(client, reference)
    answer = provider.upload_manifest(manifest, provider.get_container(place))
    told = answer.headers.get("docker-content-digest", str(found.digest))
    if told != str(found.digest):
        raise ProtocolViolation(reference.host, f"stored {found.digest} as {told[:200]}")
    if subject is not None and "oci-subject" not in answer.headers:
        note(remote, found, raw)
    return found


def pull(client: Client, reference: Reference, folder: Path) -> list[Path]:
    """Fetch the files of an artifact into a directory, each verified. Raises BlobMismatch, RegistryError."""
    remote = RemoteRepository(reference, client)
    provider = Oras(client, reference)
    manifest = provider.get_manifest(provider.get_container(str(reference)))
    layers = manifest.get("layers") if isinstance(manifest, dict) else None
    if not isinstance(layers, list):
        raise ProtocolViolation(reference.host, f"{reference} is no artifact: it has no layers")
    wanted: dict[str, Descriptor] = {}
    for layer in layers:
        blob = Descriptor.from_json(layer, what="artifact layer")
        name = os.path.basename(blob.annotations.get(TITLE, ""))
        name = blob.digest.hex if name in ("", ".", "..") else name
        if wanted.setdefault(name, blob) != blob:
            raise ProtocolViolation(reference.host, f"{reference} has two files named {name!r}")
    folder.mkdir(parents=True, exist_ok=True)
    for name, blob in wanted.items():
        receive(remote, blob, folder / name)
    return [folder / name for name in wanted]


def receive(remote: RemoteRepository, wanted: Descriptor, target: Path) -> None:
    """Fetch a blob into a file that takes its name when it is whole. Raises BlobMismatch, RegistryError."""
    part = target.with_name(f".{target.name[:200]}.{os.getpid()}")
    hasher, size = hashlib.new(wanted.digest.algorithm), 0
    with ExitStack() as undo:
        undo.callback(part.unlink, missing_ok=True)
        with remote.open(wanted) as source, part.open("xb") as out:
            while size <= wanted.size and (piece := source.read(CHUNK)):
                hasher.update(piece)
                size += len(piece)
                out.write(piece)
        if hasher.hexdigest() != wanted.digest.hex or size != wanted.size:
            raise BlobMismatch(wanted, received=size, digest=f"{wanted.digest.algorithm}:{hasher.hexdigest()}")
        part.replace(target)


def send(remote: RemoteRepository, wanted: Descriptor, source: BinaryIO) -> None:
    """Put a blob, unless it is there. Raises RegistryError."""
    if not remote.has(wanted):
        remote.put(wanted, source)


def encoded(value: Any) -> bytes:
    """The one way in which manifests of artifacts are written."""
    return encoder.dumps(value, separators=(",", ":")).encode()

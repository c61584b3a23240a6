"""Files as artifacts in a registry, alone or attached to an image (OCI image-spec, manifest.md, "subject").

oras makes the manifests and knows the conventions of titles and types; every request goes through our own client, which
authenticates, retries and keeps secrets from other hosts, and every blob that comes is hashed before it is believed.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import oras.oci
import oras.provider
import requests

from layers import BlobMismatch, Descriptor, Digest, Reference
from registry.errors import ProtocolViolation
from registry.remote import RemoteRepository
from registry.session import Client
from registry.transport import Request

TITLE = "org.opencontainers.image.title"
BODY = 64 << 20
"""Bytes of a document or error that are read."""
CHUNK = 1 << 20
ANY = tuple(range(200, 600))


class Oras(oras.provider.Registry):  # type: ignore[misc]
    """oras's registry over our client: it asks, we carry."""

    def __init__(self, client: Client, reference: Reference) -> None:
        self._client = client
        self._reference = reference
        scheme = client.base(reference.host).partition("://")[0]
        super().__init__(hostname=reference.host, insecure=scheme == "http", auth_backend="basic")

    def do_request(  # noqa: PLR0917 the signature is oras's
        self,
        url: str,
        method: str = "GET",
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        stream: bool = False,
    ) -> requests.Response:
        """One exchange, as oras wants it: a response of requests, whatever its status."""
        if json is not None:
            import json as encoder

            data = encoder.dumps(json, separators=(",", ":")).encode()
        given = {key: str(value) for key, value in (headers or {}).items() if key.lower() != "content-length"}
        answer = self._client.send(
            Request(method, url, given, data, len(data) if data else 0),
            host=self._reference.host,
            path=self._reference.path,
            scopes=(f"repository:{self._reference.path}:pull,push",),
            accept=ANY,
            what=f"{method} failed",
        )
        with answer:
            body = answer.body(BODY) if method != "HEAD" else b""
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
    """Send files, each `PATH[:TYPE]`, under a tag; with `subject` as a referrer of an image. Raises RegistryError."""
    remote = RemoteRepository(reference, client)
    provider = Oras(client, reference)
    manifest = oras.oci.NewManifest()
    manifest["mediaType"] = "application/vnd.oci.image.manifest.v1+json"
    manifest["artifactType"] = artifact_type
    for text in files:
        path, _, kind = text.partition(":")
        layer = oras.oci.NewLayer(path, media_type=kind or "application/octet-stream")
        layer["annotations"] = {TITLE: os.path.basename(path)}
        manifest["layers"].append(layer)
        descriptor = Descriptor(layer["mediaType"], Digest.parse(layer["digest"]), layer["size"])
        if not remote.has(descriptor):
            with Path(path).open("rb") as source:
                remote.put(descriptor, source)
    empty = Descriptor.of(b"{}", "application/vnd.oci.empty.v1+json")
    if not remote.has(empty):
        remote.put(empty, io.BytesIO(b"{}"))
    manifest["config"] = empty.to_json()
    if annotations:
        manifest["annotations"] = dict(annotations)
    if subject is not None:
        manifest["subject"] = {"mediaType": subject.media_type, "digest": str(subject.digest), "size": subject.size}
    answer = provider.upload_manifest(manifest, provider.get_container(str(reference)))
    if answer.status_code not in (200, 201):
        raise ProtocolViolation(reference.host, f"does not take the artifact {reference}", status=answer.status_code)
    return remote.resolve(reference.tag or "latest")


def pull(client: Client, reference: Reference, folder: Path) -> list[Path]:
    """Fetch the files of an artifact into a directory, each verified. Raises BlobMismatch, RegistryError."""
    remote = RemoteRepository(reference, client)
    provider = Oras(client, reference)
    manifest = provider.get_manifest(provider.get_container(str(reference)))
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for layer in manifest.get("layers", []):
        wanted = Descriptor.from_json(layer, what="artifact layer")
        name = os.path.basename(str((layer.get("annotations") or {}).get(TITLE) or wanted.digest.hex))
        target = folder / (name or wanted.digest.hex)
        part = target.with_name(f".{target.name}.part")
        hasher, size = hashlib.sha256(), 0
        with remote.open(wanted) as source, part.open("wb") as out:
            while piece := source.read(CHUNK):
                hasher.update(piece)
                size += len(piece)
                out.write(piece)
        if hasher.hexdigest() != wanted.digest.hex or size != wanted.size:
            part.unlink()
            raise BlobMismatch(wanted, received=size, digest=f"sha256:{hasher.hexdigest()}")
        part.replace(target)
        written.append(target)
    return written

"""Copies from and to a registry, counted: what goes over the wire and what does not."""

from __future__ import annotations

import io
import os
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from layers import Descriptor, Manifest, Reference
from layers.moving.layout import Layout
from layers.moving.transfer import copy
from layers.oci import mediatypes
from registry.remote import RemoteRepository
from registry.session import Client
from registry.transport import Request, RequestsTransport, Response
from registry.trust import Trust
from tests.support.registry import RegistryServer


@dataclass
class Wire:
    """A transport that counts."""

    inner: RequestsTransport = field(default_factory=lambda: RequestsTransport(Trust()))
    asked: list[str] = field(default_factory=list)
    sent: int = 0

    def send(self, request: Request) -> Response:
        self.asked.append(f"{request.method} {request.url.partition('/v2/')[2]}")
        if "/blobs/" in request.url:
            self.sent += request.size
        return self.inner.send(request)


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def there(registry: RegistryServer, wire: Wire, tmp_path: Path) -> Iterator[RemoteRepository]:
    yield repository(registry, wire, f"copying/{tmp_path.name.lower()}")


def repository(registry: RegistryServer, wire: Wire, path: str) -> RemoteRepository:
    path = path.replace("_", "-")
    return RemoteRepository(Reference.parse(registry.reference(path)), Client(transport=wire))


def image(here: Layout, count: int = 5, size: int = 50_000) -> Descriptor:
    layers = []
    for _ in range(count):
        data = os.urandom(size)
        wanted = Descriptor.of(data, mediatypes.OCI_LAYER_GZIP)
        here.put(wanted, io.BytesIO(data))
        layers.append(wanted)
    config = Descriptor.of(b"{}", mediatypes.OCI_CONFIG)
    here.put(config, io.BytesIO(b"{}"))
    manifest = Manifest.build(config, layers)
    here.put(manifest.descriptor, io.BytesIO(manifest.raw))
    here.tag("x", manifest.descriptor)
    return manifest.descriptor


def test_inside_one_registry_no_blob_moves(
    registry: RegistryServer, there: RemoteRepository, wire: Wire, tmp_path: Path
) -> None:
    here = Layout.create(tmp_path / "here")
    target = image(here)
    copy(here, "x", there, "1")
    wire.sent, wire.asked = 0, []
    elsewhere = repository(registry, wire, f"{there.path}/elsewhere")
    assert copy(there, "1", elsewhere, "2") == target
    assert wire.sent == 0
    assert not [line for line in wire.asked if line.startswith("GET") and "/blobs/" in line]
    assert sum("mount=" in line for line in wire.asked) == 6
    assert copy(elsewhere, "2", Layout.create(tmp_path / "back"), "3") == target


def test_what_is_there_is_not_sent_again(there: RemoteRepository, wire: Wire, tmp_path: Path) -> None:
    here = Layout.create(tmp_path / "here")
    image(here)
    copy(here, "x", there, "1")
    wire.sent, wire.asked = 0, []
    copy(here, "x", there, "2")
    assert wire.sent == 0
    assert len(wire.asked) <= 10, "a look at each blob, and the manifest under its new tag"


def test_from_one_registry_to_another_in_little_memory(
    registry: RegistryServer, there: RemoteRepository, tmp_path: Path
) -> None:
    from tests.support.registry import registry_server

    here = Layout.create(tmp_path / "here")
    target = image(here, 1, 48 << 20)
    copy(here, "x", there, "1")
    with registry_server(tmp_path / "other") as server:
        far = RemoteRepository(Reference.parse(server.reference("far")))
        tracemalloc.start()
        try:
            assert copy(there, "1", far, "1") == target
            assert tracemalloc.get_traced_memory()[1] < 12 << 20
        finally:
            tracemalloc.stop()
        assert far.resolve("1") == target

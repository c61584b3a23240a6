"""Images that mean harm, or odd ones, pulled into a store and copied on."""

import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from layers import BlobMismatch, Descriptor, DocumentInvalid, LayerError, PlatformMissing, Reference, Store
from layers.moving.transfer import copy
from layers.oci.mediatypes import OCI_LAYER_GZIP
from layers.oci.platform import Platform
from registry.errors import ProtocolViolation, RegistryError
from tests.support.quick import CONFIG, LAYER, named, quick, repository, serve_image
from tests.support.rude import FOREVER, OCI_INDEX, OCI_MANIFEST, Reply, Rude, rude
from tests.support.stored import on_disk, tar_of

TAR = tar_of({"file": b"content"})
PACKED = gzip.compress(TAR, mtime=0)
NAME = "docker.io/library/pulled:1"


@pytest.fixture
def server() -> Iterator[Rude]:
    with rude() as server:
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store") as store:
        yield store
        for name, target in store.images.names():
            assert store.blobs.has(target.digest), f"{name} points to nothing"


def config(architecture: str = "amd64", variant: str | None = None, layers: list[bytes] | None = None) -> bytes:
    """The config of an image of these tars."""
    value: dict[str, Any] = {"os": "linux", "architecture": architecture, "config": {}}
    if variant:
        value["variant"] = variant
    ids = [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in ([TAR] if layers is None else layers)]
    value["rootfs"] = {"type": "layers", "diff_ids": ids}
    return json.dumps(value).encode()


def image(server: Rude, tag: str, architecture: str = "amd64", variant: str | None = None) -> Descriptor:
    """A good image; its descriptor, with its platform."""
    server.blob(PACKED)
    serve_image(server, tag, [named(PACKED, LAYER)], config(architecture, variant))
    kind, raw = server.manifests["some/app", tag]
    found = named(raw, kind)
    return Descriptor(kind, found.digest, found.size, Platform.of("linux", architecture, variant))


def index(server: Rude, tag: str, *entries: dict[str, Any]) -> str:
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries)}
    return server.manifest("some/app", tag, document, OCI_INDEX)


def pull(server: Rude, store: Store, tag: str = "1", **more: Any) -> Descriptor:
    return copy(repository(server), tag, store.repository(), NAME, keep_index=True, **more)


def test_a_good_one(server: Rude, store: Store) -> None:
    image(server, "1")
    pull(server, store)
    assert store.images.get("pulled:1").config.diff_ids == (named(TAR).digest,)


@pytest.mark.parametrize(
    "raw",
    [
        b"[]",
        b"null",
        b"",
        b"{",
        b"\xff\xfe{",
        b'{"schemaVersion": NaN}',
        b'{"schemaVersion": 2, "schemaVersion": 2}',
        b'{"schemaVersion": 2, "layers": []}',
        b'{"schemaVersion": 2, "config": {}, "layers": [1]}',
        b'{"schemaVersion": 1, "config": {}, "layers": []}',
        b'{"a":' * 100_000,
        b"[" * 100_000,
    ],
)
def test_documents_that_are_none(server: Rude, store: Store, raw: bytes) -> None:
    server.manifest("some/app", "1", raw)
    with pytest.raises(DocumentInvalid):
        pull(server, store)
    assert on_disk(store) == set()


def test_a_document_that_is_too_large(server: Rude, store: Store) -> None:
    server.manifest("some/app", "1", b" " * (5 << 20))
    with pytest.raises(DocumentInvalid, match="larger than 4194304 bytes"):
        pull(server, store)
    assert server.asked("GET") == [], "not a byte of it was fetched"


@pytest.mark.parametrize("announced", [OCI_INDEX, OCI_MANIFEST])
def test_two_kinds_at_once_are_refused(server: Rude, store: Store, announced: str) -> None:
    document = {"schemaVersion": 2, "config": named(b"{}", CONFIG).to_json(), "layers": [], "manifests": []}
    server.manifest("some/app", "1", document, announced)
    with pytest.raises(DocumentInvalid, match="two kinds of document at once"):
        pull(server, store)


def test_announced_as_another_kind(server: Rude, store: Store) -> None:
    image(server, "1")
    raw = server.manifests["some/app", "1"][1]
    server.manifest("some/app", "1", raw, OCI_INDEX)
    with pytest.raises(DocumentInvalid):
        pull(server, store)
    server.manifest("some/app", "2", json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode())
    with pytest.raises(DocumentInvalid, match="it says mediaType"):
        pull(server, store, "2")


@pytest.mark.parametrize("kind", ["application/json", "text/plain; charset=utf-8", "application/octet-stream"])
def test_a_careless_type_is_settled_by_the_document(server: Rude, store: Store, kind: str) -> None:
    image(server, "1")
    raw = server.manifests["some/app", "1"][1]
    server.manifest("some/app", "1", raw, kind)
    pull(server, store)
    assert store.images.get("pulled:1")


def test_schema_1_is_refused_with_the_reason(server: Rude, store: Store) -> None:
    server.manifest("some/app", "1", {"schemaVersion": 1}, "application/vnd.docker.distribution.manifest.v1+prettyjws")
    with pytest.raises(ProtocolViolation, match=r"schema 1.*too old to be verified.*push the image again"):
        pull(server, store)


def test_a_page_of_a_login_portal_is_no_manifest(server: Rude, store: Store) -> None:
    server.manifest("some/app", "1", b"<html>Sign in</html>", "text/html")
    with pytest.raises(ProtocolViolation, match="with 'text/html', which is no manifest"):
        pull(server, store)


def test_a_tag_whose_headers_tell_nothing(server: Rude, store: Store) -> None:
    found = image(server, "1")
    raw = server.manifests["some/app", "1"][1]
    server.rule("HEAD", "/manifests/1", Reply(headers={"Content-Type": OCI_MANIFEST}))
    server.rule("GET", "/manifests/1", Reply(headers={"Content-Type": OCI_MANIFEST}, body=raw))
    assert pull(server, store).digest == found.digest


def test_a_digest_that_is_answered_with_something_else(server: Rude, store: Store) -> None:
    found, other = image(server, "1"), image(server, "2", "arm64")
    assert found.digest != other.digest
    raw = server.manifests["some/app", "2"][1]
    for headers in ({"Docker-Content-Digest": str(other.digest)}, {}, {"Docker-Content-Digest": str(found.digest)}):
        server.rules.clear()
        server.rule(
            "GET|HEAD", "/manifests/", Reply(headers={"Content-Type": OCI_MANIFEST, **headers}, body=raw), FOREVER
        )
        with pytest.raises((ProtocolViolation, LayerError)):
            pull(server, store, str(found.digest))
    assert on_disk(store) == set()


@pytest.mark.parametrize("told", ["nonsense", "sha256:abc", "md5:" + "0" * 32, "sha256:" + "G" * 64])
def test_digests_that_are_none(server: Rude, store: Store, told: str) -> None:
    image(server, "1")
    server.rule("HEAD", "/manifests/", Reply(headers={"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": told}))
    with pytest.raises(ProtocolViolation, match="says that 1 has digest"):
        pull(server, store)


def test_layers_that_are_others(server: Rude, store: Store) -> None:
    image(server, "1")
    server.blobs[str(named(PACKED).digest)] = PACKED[:-1] + b"\1"
    with pytest.raises(BlobMismatch, match="nothing was kept"):
        pull(server, store)
    server.blobs[str(named(PACKED).digest)] = PACKED + b"more"
    with pytest.raises(BlobMismatch, match="nothing was kept"):
        pull(server, store)
    assert named(PACKED).digest not in on_disk(store)


def test_a_layer_that_is_not_the_configs(server: Rude, store: Store) -> None:
    server.blob(PACKED)
    serve_image(server, "1", [named(PACKED, LAYER)], config(layers=[b"another"]))
    with pytest.raises(DocumentInvalid, match="its config says diff ids"):
        pull(server, store)


# -- indexes -------------------------------------------------------------------------------------


def test_an_index_that_names_itself(server: Rude, store: Store) -> None:
    raw = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
    own = named(raw, OCI_INDEX)
    liar = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [own.to_json()]}).encode()
    headers = {"Content-Type": OCI_INDEX, "Docker-Content-Digest": str(own.digest)}
    server.rule("GET|HEAD", "/manifests/", Reply(headers=headers, body=liar), FOREVER)
    with pytest.raises((DocumentInvalid, LayerError)):
        pull(server, store, every=True)
    assert len(server.asked()) < 5


def test_indexes_deep_within_each_other(server: Rude, store: Store) -> None:
    entry = image(server, "0").to_json()
    for depth in range(10):
        digest = index(server, str(depth + 1), entry)
        kind, raw = server.manifests["some/app", digest]
        entry = named(raw, kind).to_json()
    with pytest.raises(DocumentInvalid, match="deeper than 4 indexes"):
        pull(server, store, "10", every=True)
    pull(server, store, "3", every=True)


def test_too_many_entries(server: Rude, store: Store) -> None:
    entry = {"mediaType": OCI_MANIFEST, "digest": "sha256:" + "0" * 64, "size": 1}
    index(server, "1", *[entry] * 10_000)
    with pytest.raises(DocumentInvalid, match="10000 entries; the limit is 1000"):
        pull(server, store, every=True)
    assert len(server.asked()) == 2


def test_no_platform_that_fits_lists_those_that_are_there(server: Rude, store: Store) -> None:
    attestation = {**image(server, "a").to_json(), "platform": {"os": "unknown", "architecture": "unknown"}}
    note = {**image(server, "a").to_json(), "annotations": {"vnd.docker.reference.type": "attestation-manifest"}}
    entries = [image(server, arch, arch).to_json() for arch in ("s390x", "ppc64le")]
    index(server, "1", attestation, note, *entries)
    with pytest.raises(
        PlatformMissing, match="no image for platform linux/riscv64; available: linux/s390x, linux/ppc64le"
    ):
        pull(server, store, platform=Platform.parse("linux/riscv64"))


@pytest.mark.parametrize(
    ("wanted", "there", "chosen"),
    [
        ("linux/arm64", [("arm64", None), ("arm64", "v8")], 0),
        ("linux/arm64/v8", [("amd64", None), ("arm64", None)], 1),
        ("linux/arm/v6", [("arm", "v7"), ("arm", "v5"), ("arm", "v6")], 2),
        ("linux/arm/v6", [("arm", "v7"), ("arm", "v5")], 1),
        ("linux/arm/v7", [("arm", "v5"), ("arm", "v7"), ("arm", "v6")], 1),
        ("linux/amd64/v3", [("amd64", None), ("amd64", "v2"), ("amd64", "v4")], 1),
        ("linux/amd64", [("amd64", "v3"), ("amd64", None)], 1),
    ],
)
def test_variants(server: Rude, store: Store, wanted: str, there: list[tuple[str, str | None]], chosen: int) -> None:
    images = [image(server, f"i{number}", *one) for number, one in enumerate(there)]
    entries = []
    for found, (architecture, variant) in zip(images, there, strict=True):
        platform = {"os": "linux", "architecture": architecture} | ({"variant": variant} if variant else {})
        entries.append({**found.to_json(), "platform": platform})
    index(server, "1", *entries)
    copy(repository(server), "1", store.repository(), NAME, platform=Platform.parse(wanted))
    assert store.repository().resolve(NAME).digest == images[chosen].digest


# -- layers that are not ours to carry -----------------------------------------------------------

FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"


def foreign(server: Rude, *, elsewhere: str) -> Descriptor:
    """An image with a layer that lies elsewhere."""
    server.blob(PACKED)
    far = gzip.compress(tar_of({"far": b"away"}), mtime=0)
    layer = {**named(far, FOREIGN).to_json(), "urls": [elsewhere]}
    server.blob(config())
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": named(config(), CONFIG).to_json(),
        "layers": [named(PACKED, LAYER).to_json(), layer],
    }
    server.manifest("some/app", "1", document)
    return named(far, FOREIGN)


def test_foreign_layers_are_neither_fetched_from_their_urls_nor_sent(server: Rude, store: Store) -> None:
    with rude() as elsewhere, rude() as target:
        layer = foreign(server, elsewhere=f"{elsewhere.url}/layer")
        pull(server, store)
        assert store.images.list() == (), "it can be passed on, not run"
        assert not store.blobs.has(layer.digest)
        raw = server.manifests["some/app", "1"][1]
        copy(repository(server), "1", repository(target), "1")
        assert target.manifests["some/app", "1"][1] == raw, "the descriptor stays as it is"
        assert sorted(target.blobs) == sorted(map(str, (named(PACKED).digest, named(config()).digest)))
        assert elsewhere.seen == []


def test_unknown_kinds_of_layers_are_carried_as_they_are(server: Rude, store: Store) -> None:
    for kind in ("application/vnd.oci.image.layer.v1.tar+xz", "application/vnd.oci.image.layer.v1.tar+br"):
        blob = kind.encode()
        server.blob(blob)
        serve_image(server, "1", [named(blob, kind)], config())
        pull(server, store)
        with rude() as target:
            copy(store.repository(), NAME, repository(target), "1")
            assert target.blobs[str(named(blob).digest)] == blob
            assert target.manifests["some/app", "1"] == server.manifests["some/app", "1"]
        with pytest.raises(LayerError):
            store.ingest(named(blob, kind))
        store.images.untag(Reference.parse(NAME))


def test_a_copy_between_registries_is_the_same_to_the_byte(server: Rude) -> None:
    odd = b'{ "schemaVersion":2,\n"config": %s, "layers":[], "unknown": {"b": 1, "a": 2} }'
    server.blob(b"{}")
    raw = odd % json.dumps(named(b"{}", CONFIG).to_json()).encode()
    server.manifest("some/app", "1", raw)
    with rude() as target:
        found = copy(repository(server), "1", repository(target), "2")
        assert target.manifests["some/app", "2"][1] == raw
        assert found.digest == named(raw).digest


def test_a_copy_whose_upload_breaks_off_reads_the_rest_again(server: Rude) -> None:
    found = image(server, "1")
    with rude() as target:
        target.rule("PUT", "/blobs/uploads/", Reply(take=50))
        copy(repository(server), "1", repository(target), "1")
        assert target.blobs[str(named(PACKED).digest)] == PACKED
        assert target.manifests["some/app", str(found.digest)]


def test_within_one_registry_no_byte_moves(server: Rude) -> None:
    image(server, "1")
    client = quick()
    server.rule("HEAD", "/v2/other/app/blobs/", Reply(404), FOREVER)  # a registry that knows who has what
    copy(repository(server, client), "1", repository(server, client, path="other/app"), "1")
    assert server.sent == 0
    assert [ask.method for ask in server.asked("PUT|PATCH", "/blobs/")] == []


def test_pushing_again_what_is_there_costs_a_look_at_each(server: Rude, store: Store) -> None:
    blobs = [gzip.compress(tar_of({f"file{number}": b"x"}), mtime=0) for number in range(40)]
    for blob in blobs:
        server.blob(blob)
    tars = [gzip.decompress(blob) for blob in blobs]
    serve_image(server, "1", [named(blob, OCI_LAYER_GZIP) for blob in blobs], config(layers=tars))
    pull(server, store)
    copy(store.repository(), NAME, repository(server), "1")
    before = len(server.seen)
    connections = server.connections
    copy(store.repository(), NAME, repository(server), "1")
    assert len(server.seen) - before <= 45
    assert server.connections - connections <= 7, "one for each thread at most, and ours"


def test_a_failure_of_one_layer_stops_the_others(server: Rude, store: Store) -> None:
    blobs = [gzip.compress(tar_of({"file": bytes([number]) * 9_000_000}), 0, mtime=0) for number in range(3)]
    for blob in blobs:
        server.blob(blob)
    missing = gzip.compress(tar_of({"missing": b""}), mtime=0)
    layers = [named(blob, LAYER) for blob in (*blobs, missing)]
    serve_image(server, "1", layers, config())
    for blob in blobs:
        server.rule("GET", str(named(blob).digest), Reply(body=blob, piece=1 << 18, pause=0.05))
    with pytest.raises(RegistryError, match="BLOB_UNKNOWN"):
        pull(server, store)
    assert server.sent < sum(map(len, blobs)) / 2

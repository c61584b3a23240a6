"""The store as a Repository: nothing gets a name before all that it needs is here and fits together."""

import gzip
import io
from pathlib import Path

import pytest

from layers import (
    BlobMismatch,
    BlobMissing,
    Descriptor,
    Digest,
    DocumentInvalid,
    ImageConfig,
    Index,
    Manifest,
    Platform,
    Repository,
    Store,
)
from layers.oci import mediatypes
from tests.support.stored import on_disk, tar_of

TAR = tar_of({"a": b"a"})
PACKED = gzip.compress(TAR, mtime=0)
LAYER = Descriptor.of(PACKED, mediatypes.OCI_LAYER_GZIP)
HOST = Platform.host()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


@pytest.fixture
def local(store: Store) -> Repository:
    return store.repository()


def config_of(*diff_ids: Digest) -> ImageConfig:
    return ImageConfig.build(platform=HOST, diff_ids=diff_ids, history=(), runtime={}, created=None)


def put(local: Repository, data: bytes, kind: str) -> Descriptor:
    wanted = Descriptor.of(data, kind)
    local.put(wanted, io.BytesIO(data))
    return wanted


def test_a_pulled_image_keeps_its_bytes_and_gets_its_raw_tar(store: Store, local: Repository) -> None:
    assert not local.has(LAYER)
    put(local, PACKED, LAYER.media_type)
    assert local.has(LAYER)
    config = config_of(Digest.of(TAR))
    put(local, config.raw, mediatypes.OCI_CONFIG)
    manifest = Manifest.build(config.descriptor(), [LAYER])
    assert not local.has(manifest.descriptor)
    put(local, manifest.raw, manifest.media_type)
    assert local.has(manifest.descriptor)
    local.tag("example.com/app:1", manifest.descriptor)
    assert local.resolve("example.com/app:1") == manifest.descriptor
    assert local.resolve(str(manifest.descriptor.digest)) == manifest.descriptor
    with local.open(LAYER) as source:
        assert source.read() == PACKED
    image = store.images.get("example.com/app:1")
    assert (image.id, image.manifest.layers) == (config.digest, (LAYER,))
    assert store.blobs.read(image.chain.diff_ids[0]) == TAR


def test_a_layer_whose_raw_tar_is_gone_is_not_here(store: Store, local: Repository) -> None:
    put(local, PACKED, LAYER.media_type)
    store.blobs.path(Digest.of(TAR)).unlink()
    assert not local.has(LAYER)
    put(local, PACKED, LAYER.media_type)
    assert local.has(LAYER)


def test_a_manifest_before_its_parts_is_refused(store: Store, local: Repository) -> None:
    config = config_of(Digest.of(TAR))
    manifest = Manifest.build(config.descriptor(), [LAYER])
    for _ in range(2):
        with pytest.raises(BlobMissing):
            put(local, manifest.raw, manifest.media_type)
        put(local, config.raw, mediatypes.OCI_CONFIG)
    assert store.images.list() == ()


def test_a_config_that_names_other_layers_is_refused(store: Store, local: Repository) -> None:
    put(local, PACKED, LAYER.media_type)
    config = config_of(Digest.of(b"another"))
    put(local, config.raw, mediatypes.OCI_CONFIG)
    manifest = Manifest.build(config.descriptor(), [LAYER])
    with pytest.raises(DocumentInvalid, match="diff ids"):
        put(local, manifest.raw, manifest.media_type)
    assert store.images.list() == ()


def test_documents_that_are_not_what_was_promised_are_refused(store: Store, local: Repository) -> None:
    raw = config_of().raw
    for kind in (mediatypes.OCI_MANIFEST, mediatypes.OCI_INDEX, mediatypes.OCI_CONFIG):
        with pytest.raises(BlobMismatch):
            local.put(Descriptor.of(raw, kind), io.BytesIO(raw + b" "))
    assert on_disk(store) == set()


def test_an_index_needs_one_of_its_images(store: Store, local: Repository) -> None:
    config = config_of()
    manifest = Manifest.build(config.descriptor(), [])
    index = Index.build([manifest.descriptor, Descriptor(mediatypes.OCI_MANIFEST, Digest.of(b"absent"), 6)])
    with pytest.raises(BlobMissing):
        put(local, index.raw, index.media_type)
    put(local, config.raw, mediatypes.OCI_CONFIG)
    put(local, manifest.raw, manifest.media_type)
    put(local, index.raw, index.media_type)
    local.tag("many:1", index.descriptor)
    assert local.resolve("many:1") == index.descriptor


def test_an_artifact_is_kept_but_is_no_image(store: Store, local: Repository) -> None:
    blob = put(local, b"{}", mediatypes.OCI_EMPTY)
    note = put(local, b"signature", "text/plain")
    manifest = Manifest.build(blob, [note])
    put(local, manifest.raw, manifest.media_type)
    assert local.has(manifest.descriptor)
    assert store.images.list() == ()


def test_what_is_not_here_is_missing(local: Repository) -> None:
    for name in ("absent:1", "sha256:" + "0" * 64):
        with pytest.raises(BlobMissing):
            local.resolve(name)
    with pytest.raises(BlobMissing):
        local.open(LAYER)
    with pytest.raises(BlobMissing):
        local.tag("absent:1", Descriptor(mediatypes.OCI_MANIFEST, Digest.of(b"absent"), 6))

"""Names, ids and edges: what is listed can be used, and people find it by what they type."""

from pathlib import Path

import pytest

from layers import (
    BlobMissing,
    Descriptor,
    Digest,
    History,
    Image,
    Index,
    NameAmbiguous,
    NewLayer,
    Platform,
    PlatformMissing,
    Reference,
    ReferenceInvalid,
    Store,
)
from layers.oci import mediatypes
from layers.oci.image import append
from tests.support.stored import new_image, new_layer


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


@pytest.fixture
def image(store: Store) -> Image:
    return new_image(store, [new_layer(store, {"a": b"a"})], "one:1", "localhost:5000/two:2")


def test_an_image_is_found_by_all_that_people_type(store: Store, image: Image) -> None:
    full = image.id.hex
    for text in (
        "one:1",
        "docker.io/library/one:1",
        "localhost:5000/two:2",
        f"sha256:{full}",
        full,
        full[:12],
        full[:2],
        str(image.manifest.descriptor.digest),
        f"one@{image.manifest.descriptor.digest}",
    ):
        assert store.images.get(text).id == image.id, text
    for text in ("one", "one:2", "sha256:" + "0" * 64, "absent"):
        with pytest.raises(BlobMissing):
            store.images.get(text)
    with pytest.raises(ReferenceInvalid):
        store.images.get("NOT A NAME")


def test_a_prefix_of_two_ids_is_ambiguous(store: Store, image: Image) -> None:
    wanted = image.id.hex[:2]
    base = NewLayer(image.config.diff_ids[0], image.size)
    other = next(
        found
        for number in range(2000)
        if (found := new_image(store, [base], created=f"2021-01-01T00:00:{number:05}Z")).id.hex.startswith(wanted)
    )
    assert other.id != image.id
    with pytest.raises(NameAmbiguous):
        store.images.get(wanted)


def test_names_move_and_go(store: Store, image: Image) -> None:
    name = Reference.parse("one:1")
    other = new_image(store, [new_layer(store, {"b": b"b"})], "one:1", created="2022-01-01T00:00:00Z")
    assert store.images.get("one:1").id == other.id
    assert [found.id for found in store.images.list()] == [other.id, image.id]
    assert store.images.tag(name, image.manifest.descriptor) == other.manifest.descriptor
    assert store.images.untag(name) == image.manifest.descriptor
    assert store.images.untag(name) is None
    assert store.images.remove(image.id) == (Reference.parse("localhost:5000/two:2"),)
    assert [found.id for found in store.images.list()] == [other.id]
    with pytest.raises(BlobMissing):
        store.images.tag(name, Descriptor(mediatypes.OCI_MANIFEST, Digest.of(b"absent"), 6))


def test_an_image_without_its_layer_is_not_added(store: Store, image: Image) -> None:
    absent = NewLayer(Digest.of(b"absent"), 6)
    manifest, config = append(image, absent, History("2020-01-01T00:00:00Z", "RUN x"))
    with pytest.raises(BlobMissing, match="layer"):
        store.images.add(manifest, config)
    assert len(store.images.list()) == 1


def test_an_image_grows_by_a_layer_and_by_a_line_of_history(store: Store, image: Image) -> None:
    layer = new_layer(store, {"b": b"b"})
    manifest, config = append(image, layer, History("2021-01-01T00:00:00Z", "COPY b /"), runtime={"Cmd": ["b"]})
    grown = store.images.add(manifest, config, [Reference.parse("grown")])
    assert grown.chain.parent == image.chain
    assert grown.config.runtime == {"Cmd": ["b"]}
    assert [line.empty_layer for line in grown.config.history] == [False, False]
    manifest, config = append(grown, None, History("2022-01-01T00:00:00Z", "CMD c"))
    assert config.diff_ids == grown.config.diff_ids
    assert config.history[-1].empty_layer
    assert config.runtime == {"Cmd": ["b"]}
    assert manifest.layers == grown.manifest.layers


def test_an_index_leads_to_the_image_of_a_platform(store: Store, image: Image) -> None:
    host = image.config.platform
    entry = Descriptor(
        image.manifest.media_type, image.manifest.descriptor.digest, image.manifest.descriptor.size, platform=host
    )
    strange = Descriptor(mediatypes.OCI_MANIFEST, Digest.of(b"s390x"), 5, platform=Platform.parse("linux/s390x"))
    index = Index.build([strange, entry])
    store.blobs.keep(index.raw, index.media_type)
    store.images.learn(index.descriptor, [strange.digest, entry.digest])
    store.images.tag(Reference.parse("many:1"), index.descriptor)
    found = store.images.get("many:1")
    assert (found.id, found.target) == (image.id, index.descriptor)
    assert Reference.parse("many:1") in store.images.list()[0].references
    assert store.images.get("many:1", host).id == image.id
    with pytest.raises(BlobMissing):
        store.images.get("many:1", Platform.parse("linux/s390x"))
    with pytest.raises(PlatformMissing):
        store.images.get("many:1", Platform.parse("linux/riscv64"))
    assert set(store.images.remove(image.id)) >= {Reference.parse("many:1"), Reference.parse("one:1")}
    assert store.images.names() == ()


def test_records_are_found_only_with_all_their_layers(store: Store) -> None:
    layer = new_layer(store, {"a": b"a"})
    store.records.keep("key", {"layer": str(layer.diff_id)}, [layer.diff_id])
    found = store.records.find("key")
    assert found is not None
    assert found.value == {"layer": str(layer.diff_id)}
    assert store.records.layers("key") == (layer.diff_id,)
    assert [record.key for record in store.records.list()] == ["key"]
    store.blobs.path(layer.diff_id).unlink()
    assert store.records.find("key") is None
    store.records.forget("key")
    assert store.records.list() == ()

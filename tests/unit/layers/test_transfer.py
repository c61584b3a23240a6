"""Copies between places: what moves, what stays behind, what is never changed."""

from __future__ import annotations

import gzip
import io
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import pytest

from layers import (
    BlobMissing,
    Descriptor,
    Digest,
    DocumentInvalid,
    ImageConfig,
    Index,
    Manifest,
    Platform,
    PlatformMissing,
    Repository,
    Store,
)
from layers.moving.layout import Layout
from layers.moving.local import LocalRepository
from layers.moving.places import Places
from layers.moving.rewrite import Packed
from layers.moving.transfer import DEPTH, copy
from layers.oci import mediatypes
from tests.support.stored import tar_of

URL = "https://example.org/layer"


def put(here: Repository, data: bytes, kind: str, algorithm: str = "sha256") -> Descriptor:
    wanted = Descriptor.of(data, kind, algorithm)
    here.put(wanted, io.BytesIO(data))
    return wanted


def image(here: Repository, platform: str = "linux/amd64", *, word: str = "", algorithm: str = "sha256") -> Descriptor:
    """An image of one layer, whole; its index entry."""
    tar = tar_of({"f": f"{platform}{word}".encode()})
    config = ImageConfig.build(
        platform=Platform.parse(platform), diff_ids=[Digest.of(tar)], history=(), runtime={}, created=None
    )
    layer = put(here, gzip.compress(tar, mtime=0), mediatypes.OCI_LAYER_GZIP)
    manifest = Manifest.build(put(here, config.raw, mediatypes.OCI_CONFIG), [layer])
    made = put(here, manifest.raw, mediatypes.OCI_MANIFEST, algorithm)
    return Descriptor(made.media_type, made.digest, made.size, Platform.parse(platform))


@pytest.fixture
def here(tmp_path: Path) -> Layout:
    return Layout.create(tmp_path / "here")


@pytest.fixture
def there(tmp_path: Path) -> Layout:
    return Layout.create(tmp_path / "there")


class Watched:
    """A layout that counts what is opened in it."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.opened: list[str] = []
        self.most = 10**9
        self.seconds = 0.0

    def resolve(self, name: str) -> Descriptor:
        return self.layout.resolve(name)

    def has(self, wanted: Descriptor) -> bool:
        return self.layout.has(wanted)

    def open(self, wanted: Descriptor) -> BinaryIO:
        if wanted.media_type not in mediatypes.DOCUMENTS:
            if len(self.opened) == self.most:
                raise ConnectionResetError
            self.opened.append(str(wanted.digest))
            time.sleep(self.seconds)
        return self.layout.open(wanted)

    def put(self, wanted: Descriptor, source: BinaryIO) -> None:
        self.layout.put(wanted, source)

    def tag(self, name: str, target: Descriptor) -> None:
        self.layout.tag(name, target)


def test_an_index_with_everything_in_it_is_byte_true(here: Layout, there: Layout) -> None:
    entries = [image(here, platform) for platform in ("linux/amd64", "linux/arm64", "linux/arm/v7", "linux/386")]
    statement = put(here, b'{"_type":"https://in-toto.io/Statement/v1"}', "application/vnd.in-toto+json")
    config = put(here, b'{"rootfs":{"type":"layers","diff_ids":[]}}', mediatypes.OCI_CONFIG)
    attested = put(here, Manifest.build(config, [statement]).raw, mediatypes.OCI_MANIFEST)
    note = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": str(entries[0].digest)}
    entries.append(
        Descriptor(attested.media_type, attested.digest, attested.size, Platform("unknown", "unknown"), note)
    )
    inner = put(here, Index.build(entries[:1]).raw, mediatypes.OCI_INDEX)
    strange = put(here, b"of another kind", "application/x-unknown")
    value = json.loads(Index.build([*entries, inner, strange]).raw)
    raw = json.dumps({**value, "x.more": {"b": 1, "a": 2}}, indent=2).encode()
    target = put(here, raw, mediatypes.OCI_INDEX)
    here.tag("x", target)
    assert copy(here, "x", there, "y", every=True) == target
    blobs = {path.name: path.read_bytes() for path in (here.root / "blobs/sha256").iterdir()}
    assert blobs == {path.name: path.read_bytes() for path in (there.root / "blobs/sha256").iterdir()}
    assert there.resolve("y") == target


def test_several_who_want_the_same_fetch_it_once(here: Layout, tmp_path: Path) -> None:
    """Each with a store object of its own, as processes have."""
    target = image(here)
    source = Watched(here)
    source.seconds = 0.05
    together = threading.Barrier(4)
    Store.open(tmp_path / "store").close()

    def work(number: int) -> Descriptor:
        with Store.open(tmp_path / "store") as store:
            together.wait(60)
            return copy(source, str(target.digest), store.repository(), f"docker.io/library/x:{number}")

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [target.bare] * 4
    assert len(source.opened) == len(set(source.opened)) == 2


def test_one_platform_of_it(here: Layout, there: Layout) -> None:
    entries = [image(here, platform) for platform in ("linux/amd64", "linux/arm64")]
    target = put(here, Index.build(entries).raw, mediatypes.OCI_INDEX)
    arm = copy(here, str(target.digest), there, "arm", platform=Platform.parse("arm64"))
    assert arm == entries[1].bare
    assert not there.has(entries[0])
    with pytest.raises(PlatformMissing, match="linux/amd64, linux/arm64"):
        copy(here, str(target.digest), there, "x", platform=Platform.parse("riscv64"))


def test_layers_that_may_not_be_distributed_stay_behind(here: Layout, there: Layout, tmp_path: Path) -> None:
    foreign = Descriptor(
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", Digest.of(b"far"), 3, urls=(URL,)
    )
    kept = put(here, b"near", "application/vnd.oci.image.layer.v1.tar+xz")
    config = put(here, b'{"os":"windows","rootfs":{"diff_ids":[]}}', mediatypes.OCI_CONFIG)
    target = put(here, Manifest.build(config, [foreign, kept]).raw, mediatypes.OCI_MANIFEST)
    here.tag("x", target)
    store = Store.open(tmp_path / "store")
    for place, name in ((there, "x"), (store.repository(), "windows:1")):
        assert copy(here, "x", place, name) == target
        assert place.resolve(name).digest == target.digest
        assert place.has(kept), "a layer of a kind that nobody knows is copied as it is"
        with place.open(target) as stream:
            assert URL in stream.read().decode()
    assert not there.has(foreign)


def test_a_copy_that_broke_goes_on_where_it_was(here: Layout, there: Layout) -> None:
    blobs = [put(here, bytes([number]) * 1000, "application/x-part") for number in range(12)]
    config = put(here, b"{}", mediatypes.OCI_EMPTY)
    target = put(here, Manifest.build(config, blobs).raw, mediatypes.OCI_MANIFEST)
    source = Watched(here)
    source.most = 7
    with pytest.raises(ConnectionResetError):
        copy(source, str(target.digest), there, "x")
    with pytest.raises(BlobMissing):
        there.resolve("x")
    came = {str(blob.digest) for blob in blobs if there.has(blob)}
    assert came, "something was kept"
    source.opened, source.most = [], 100
    copy(source, str(target.digest), there, "x")
    assert not came & set(source.opened), "what was there is not fetched again"
    source.opened = []
    copy(source, str(target.digest), there, "x")
    assert source.opened == []


def test_documents_under_other_algorithms(here: Layout, there: Layout) -> None:
    target = image(here, algorithm="sha512").bare
    here.tag("x", target)
    assert copy(here, "x", there, "x") == target
    (here.root / "blobs/sha512" / target.digest.hex).chmod(0o644)
    (here.root / "blobs/sha512" / target.digest.hex).write_bytes(b"x" * target.size)
    with pytest.raises(Exception, match="nothing was kept"):
        copy(here, "x", there, "x")


def test_indexes_within_indexes_end_somewhere(here: Layout, there: Layout) -> None:
    found = image(here)
    for _ in range(DEPTH):
        found = put(here, Index.build([found]).raw, mediatypes.OCI_INDEX)
    assert copy(here, str(found.digest), there, "x", every=True) == found
    found = put(here, Index.build([found]).raw, mediatypes.OCI_INDEX)
    with pytest.raises(DocumentInvalid, match="deeper than 4 indexes"):
        copy(here, str(found.digest), there, "x", every=True)


def test_an_index_whose_images_are_partly_missing(here: Layout, there: Layout) -> None:
    absent = Descriptor(mediatypes.OCI_MANIFEST, Digest.of(b"absent"), 6, Platform.parse("linux/s390x"))
    entry = image(here)
    target = put(here, Index.build([entry, absent]).raw, mediatypes.OCI_INDEX)
    with pytest.raises(BlobMissing, match=absent.digest.hex):
        copy(here, str(target.digest), there, "x", every=True)
    assert copy(here, str(target.digest), there, "x", every=True, partial=True) == target


@pytest.mark.parametrize("kind", ["prettyjws", "json"])
def test_what_is_no_manifest_is_refused_with_the_reason(here: Layout, there: Layout, kind: str) -> None:
    old = put(here, b'{"schemaVersion": 1}', f"application/vnd.docker.distribution.manifest.v1+{kind}")
    with pytest.raises(DocumentInvalid, match="schema 1"):
        copy(here, old, there, "x")
    with pytest.raises(DocumentInvalid, match="neither a manifest nor an index"):
        copy(here, put(here, b"x", "text/plain"), there, "x")
    assert there.tags() == ()


def test_an_artifact_is_copied_as_it_is(here: Layout, there: Layout, tmp_path: Path) -> None:
    empty = put(here, b"{}", mediatypes.OCI_EMPTY)
    layer = put(here, tar_of({"a": b"a"}), mediatypes.OCI_LAYER)
    raw = Manifest.build(empty, [layer]).raw[:-1] + b',"artifactType":"application/x-thing"}'
    target = put(here, raw, mediatypes.OCI_MANIFEST)
    with Store.open(tmp_path / "store") as store:
        copy(here, target, store.repository(), "thing:1")
        assert copy(Packed(store), "thing:1", there, "x") == target
    assert there.has(layer)


class Neighbouring(LocalRepository):
    """A repository of a registry, which notes what it is asked for."""

    host = "registry.test"

    def __init__(self, store: Store, path: str) -> None:
        super().__init__(store)
        self.path = path
        self.asked: set[Digest] = set()

    def has(self, wanted: Descriptor) -> bool:
        self.asked.add(wanted.digest)
        return super().has(wanted)

    def mount_from(self, wanted: Descriptor, path: str) -> bool:
        return False


def test_what_one_command_has_seen_is_not_asked_for_again(here: Layout, tmp_path: Path) -> None:
    made, store = image(here), Store.open(tmp_path / "store")
    with here.open(made) as stream:
        manifest = Manifest.parse(stream.read(), made.media_type)
    blobs = {manifest.config.digest, manifest.layers[0].digest}
    places = Places(store)
    first, again, other = (Neighbouring(store, path) for path in ("app", "app", "other"))
    for there in (first, again, other):
        copy(here, made, there, "app:1", places=places)
    assert blobs <= first.asked
    assert blobs.isdisjoint(again.asked), "a hundred tags of one image are no hundred times its layers"
    assert blobs <= other.asked, "another repository may not have them"

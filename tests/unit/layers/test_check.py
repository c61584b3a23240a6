"""A check finds every kind of damage, nothing in a sound store, and repair leaves a sound one."""

import gzip
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from layers import BlobMissing, Descriptor, Image, NewLayer, Store, mediatypes
from layers.check import check
from layers.ingest import receive
from tests.support.stored import new_image, new_layer, tar_of

PACKED = gzip.compress(tar_of({"pulled": b"x" * 5000}), mtime=0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store of a built image "one:1" and a pulled one of "two:2" whose compressed layer is here as well."""
    store = Store.open(tmp_path / "store")
    new_image(store, [new_layer(store, {"built": b"x"})], "one:1")
    wanted = Descriptor.of(PACKED, mediatypes.OCI_LAYER_GZIP)
    diff_id = receive(store, wanted, io.BytesIO(PACKED))
    new_image(store, [NewLayer(diff_id, store.blobs.size(diff_id))], "two:2", packed=[wanted])
    return store


def spoil(path: Path) -> None:
    """Change one byte, as a disk might."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


def test_a_sound_store_has_no_damage_and_repair_changes_nothing(store: Store) -> None:
    before = set(store.blobs.all())
    findings = check(store, repair=True)
    assert findings.damages == ()
    assert findings.blobs == len(before)
    assert findings.bytes == sum(map(store.blobs.size, before))
    assert set(store.blobs.all()) == before


@pytest.mark.parametrize("harm", [spoil, Path.unlink], ids=["spoiled", "gone"])
def test_a_raw_tar_is_made_again_from_its_compressed_form(store: Store, harm: Callable[[Path], None]) -> None:
    image = store.images.get("two:2")
    harm(store.blobs.path(image.config.diff_ids[0]))
    assert check(store).damages != ()
    assert check(store, repair=True).damages[-1].repaired == "made again from a compressed form"
    assert check(store).damages == ()
    assert store.images.get("two:2").id == image.id


@pytest.mark.parametrize("harm", [spoil, Path.unlink], ids=["spoiled", "gone"])
@pytest.mark.parametrize("part", ["layer", "config", "manifest"])
def test_an_image_that_lacks_a_part_is_dropped_and_others_stay(
    store: Store, harm: Callable[[Path], None], part: str
) -> None:
    image = store.images.get("one:1")
    digest = {
        "layer": image.config.diff_ids[0],
        "config": image.id,
        "manifest": image.manifest.descriptor.digest,
    }[part]
    harm(store.blobs.path(digest))
    assert any(str(digest) in damage.what + damage.where for damage in check(store).damages)
    assert all(damage.repaired for damage in check(store, repair=True).damages)
    assert check(store).damages == ()
    with pytest.raises(BlobMissing):
        store.images.get("one:1")
    assert store.images.get("two:2").size


def test_a_table_that_lies_is_made_anew(store: Store) -> None:
    image: Image = store.images.get("one:1")
    path = store.root / "tocs" / image.config.diff_ids[0].hex
    path.write_bytes(path.read_bytes().replace(b"built", b"bulit"))
    assert [damage.where for damage in check(store).damages] == [f"tocs/{path.name}"]
    check(store, repair=True)
    assert check(store).damages == ()
    with Store.open(store.root) as fresh:
        assert fresh.toc(image.config.diff_ids[0]).get("built") is not None


def test_a_name_that_leads_nowhere_is_dropped(store: Store) -> None:
    with store.db.write() as db:
        db.execute("INSERT INTO ref VALUES ('docker.io/library/lost:1', ?, 'x', 0)", (f"sha256:{'0' * 64}",))
    assert [damage.where for damage in check(store).damages] == ["docker.io/library/lost:1"]
    check(store, repair=True)
    assert check(store).damages == ()

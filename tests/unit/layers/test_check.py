"""A check finds every kind of damage, nothing in a sound store, and repair leaves a sound one."""

import gzip
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from layers import BlobMissing, Descriptor, Digest, Image, Index, NewLayer, Reference, Store, prune
from layers.disk.boot import boot_id
from layers.home.check import check
from layers.home.damage import Kind
from layers.home.ingest import receive
from layers.home.store import opened, sealed
from layers.oci import mediatypes
from tests.support.stored import new_image, new_layer, resident, tar_of

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
    assert check(store, repair=True).damages[-1].repaired == "it is whole again"
    assert check(store).damages == ()
    assert store.images.get("two:2").id == image.id


@pytest.mark.parametrize("harm", [spoil, Path.unlink], ids=["spoiled", "gone"])
@pytest.mark.parametrize("part", ["layer", "config"])
def test_an_image_that_lacks_a_part_is_given_up_and_told_and_others_stay(
    store: Store, harm: Callable[[Path], None], part: str
) -> None:
    image = store.images.get("one:1")
    digest = image.config.diff_ids[0] if part == "layer" else image.id
    harm(store.blobs.path(digest))
    found = check(store).damages
    assert any(str(digest) in damage.what + damage.where for damage in found)
    assert found[-1].needed == ("docker.io/library/one:1",)
    mended = check(store, repair=True).damages
    assert all(damage.repaired for damage in mended)
    assert [damage.lost for damage in mended if damage.lost] == [("one:1",)]
    assert check(store).damages == ()
    with pytest.raises(BlobMissing):
        store.images.get("one:1")
    assert store.images.get("two:2").size


@pytest.mark.parametrize("harm", [spoil, Path.unlink], ids=["spoiled", "gone"])
@pytest.mark.parametrize("name", ["one:1", "two:2"])
def test_a_manifest_is_written_anew(store: Store, harm: Callable[[Path], None], name: str) -> None:
    image = store.images.get(name)
    harm(store.blobs.path(image.manifest.descriptor.digest))
    assert check(store).damages
    assert not any(damage.lost for damage in check(store, repair=True).damages)
    assert check(store).damages == ()
    assert store.images.get(name).id == image.id


@pytest.mark.parametrize("harm", [spoil, Path.unlink], ids=["spoiled", "gone"])
def test_an_image_whose_compressed_layer_is_lost_lives_on_with_its_raw_tar(
    store: Store, harm: Callable[[Path], None]
) -> None:
    image = store.images.get("two:2")
    with store.db.write() as db:
        db.execute("INSERT INTO served VALUES ('two', ?, NULL)", (str(image.manifest.descriptor.digest),))
    harm(store.blobs.path(image.manifest.layers[0].digest))
    assert "another manifest" in check(store, repair=True).damages[-1].repaired
    assert check(store).damages == ()
    again = store.images.get("two:2")
    assert (again.id, again.references) == (image.id, image.references)
    assert [layer.digest for layer in again.manifest.layers] == list(image.config.diff_ids)
    assert store.db.rows("SELECT digest FROM served") == [(str(again.manifest.descriptor.digest),)]


def test_a_compressed_layer_of_ours_is_made_again_from_its_raw_tar(store: Store) -> None:
    diff_id = store.images.get("one:1").config.diff_ids[0]
    form = store.variants.compress(diff_id, "zstd")
    image = new_image(store, [NewLayer(diff_id, store.blobs.size(diff_id))], "three:3", packed=[form])
    spoil(store.blobs.path(form.digest))
    assert not any(damage.lost for damage in check(store, repair=True).damages)
    assert check(store).damages == ()
    assert store.images.get("three:3").manifest.raw == image.manifest.raw
    assert store.blobs.read(form.digest)


def test_what_is_damaged_is_put_aside_and_prune_removes_it(store: Store) -> None:
    spoil(store.blobs.path(store.images.get("one:1").id))
    (store.root / "blobs/sha256/shopping-list").write_text("milk")
    assert [damage.where for damage in check(store).damages if damage.kind is Kind.STRANGER] == [
        "blobs/sha256/shopping-list"
    ]
    check(store, repair=True)
    assert len(list((store.root / "damaged").iterdir())) == 2
    prune(store)
    assert list((store.root / "damaged").iterdir()) == []


def test_a_form_that_is_remembered_for_another_layer_is_no_longer_believed(store: Store) -> None:
    one, two = store.images.get("one:1"), store.images.get("two:2")
    with store.db.write() as db:
        db.execute("UPDATE variant SET diff_id = ?", (str(one.config.diff_ids[0]),))
    assert {damage.kind for damage in check(store).damages} == {Kind.FORM, Kind.IMAGE}
    check(store, repair=True)
    assert check(store).damages == ()
    assert store.images.get("two:2").id == two.id
    assert store.variants.diff_id(two.manifest.layers[0].digest) == two.config.diff_ids[0]


@pytest.mark.parametrize(
    "lie",
    [
        "DELETE FROM edge WHERE child IN (SELECT config FROM image)",
        "UPDATE image SET config = 'sha256:' || hex(zeroblob(32))",
    ],
)
def test_rows_that_contradict_their_document_are_set_right(store: Store, lie: str) -> None:
    before = {image.id for image in store.images.list()}
    with store.db.write() as db:
        db.execute(lie)
    assert len(check(store).damages) == 2
    assert not any(damage.lost for damage in check(store, repair=True).damages)
    assert check(store).damages == ()
    assert {image.id for image in store.images.list()} == before


@pytest.mark.parametrize("row", ["document", "variant"])
def test_a_row_that_tells_a_wrong_size_costs_no_blob(store: Store, row: str) -> None:
    before = set(store.blobs.all())
    with store.db.write() as db:
        db.execute(f"UPDATE {row} SET size = size + 1")
    for quick in (True, False):
        assert {damage.kind for damage in check(store, quick=quick).damages} <= {Kind.IMAGE, Kind.FORM}
    assert not any(damage.lost for damage in check(store, repair=True, quick=True).damages)
    assert set(store.blobs.all()) == before
    assert check(store).damages == ()


def test_a_record_that_cannot_be_read_is_forgotten(store: Store) -> None:
    store.records.keep("whole", {})
    with store.db.write() as db:
        db.execute("INSERT INTO record VALUES ('broken', '{', 0, 0)")
    assert [damage.where for damage in check(store, repair=True).damages] == ["broken"]
    assert [record.key for record in store.records.list()] == ["whole"]


def test_the_name_of_an_index_goes_with_its_last_image(store: Store) -> None:
    image = store.images.get("one:1")
    entry = Descriptor(
        image.manifest.media_type,
        image.manifest.descriptor.digest,
        image.manifest.descriptor.size,
        platform=image.config.platform,
    )
    index = Index.build([entry])
    store.blobs.keep(index.raw, index.media_type)
    store.images.learn(index.descriptor, [entry.digest])
    store.images.tag(Reference.parse("many:1"), index.descriptor)
    store.blobs.path(image.id).unlink()
    lost = [damage.lost for damage in check(store, repair=True).damages if damage.lost]
    assert lost == [("many:1", "one:1")]
    assert check(store).damages == ()


@pytest.mark.parametrize("lost", ["settings", "layer"])
def test_a_container_that_cannot_start_again_is_told(store: Store, lost: str) -> None:
    image = store.images.get("two:2")
    folder = resident(store, "c" * 64, image.id, *image.config.diff_ids)
    assert check(store).damages == ()
    if lost == "layer":
        store.blobs.path(image.config.diff_ids[0]).unlink()
    else:
        with store.db.write() as db:
            db.execute("UPDATE container SET settings = '{'")
    damage = check(store).damages[-1]
    assert (damage.kind, damage.where) == (Kind.CONTAINER, f"containers/{folder.name}")
    repaired = check(store, repair=True).damages[-1].repaired
    assert bool(repaired) == (lost == "layer")


def test_what_a_crash_leaves_is_no_damage(store: Store) -> None:
    image = store.images.get("one:1")
    (store.root / "tocs" / image.config.diff_ids[0].hex).write_bytes(b"torn")
    (store.root / "scratch/0123456789abcdef").mkdir()
    with store.db.write() as db:
        db.execute("INSERT INTO lease VALUES ('gone', 0, ?)", (str(image.id),))
        row = (str(image.chain.id), None, str(image.chain.diff_ids[0]), boot_id())
        db.execute("INSERT INTO snapshot VALUES (?, ?, ?, ?)", row)  # its directory was moved to be removed
    store.records.keep("key", {}, [Digest.of(b"gone")])
    found = check(store)
    assert found.damages == ()
    assert len(found.leftovers) == 4
    store.sweep()
    prune(store)
    assert check(store).leftovers == ()


def test_a_quick_look_sees_what_is_gone_or_short_and_reads_no_blob(store: Store) -> None:
    image = store.images.get("one:1")
    spoil(store.blobs.path(image.config.diff_ids[0]))
    found = check(store, quick=True)
    assert (found.damages, found.bytes) == ((), 0)
    store.blobs.path(image.manifest.descriptor.digest).unlink()
    packed = store.blobs.path(store.images.get("two:2").manifest.layers[0].digest)
    packed.chmod(0o600)
    packed.write_bytes(b"short")
    assert {damage.kind for damage in check(store, quick=True).damages} == {Kind.BLOB, Kind.IMAGE}


def test_progress_reaches_the_end(store: Store) -> None:
    told: list[tuple[int, int]] = []
    check(store, progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] == max(done for done, _ in told)


def test_a_table_that_lies_is_made_anew(store: Store) -> None:
    image: Image = store.images.get("one:1")
    path = store.root / "tocs" / image.config.diff_ids[0].hex
    path.write_bytes(sealed(opened(path.read_bytes()).replace(b"built", b"bulit")))
    assert [damage.where for damage in check(store).damages] == [f"tocs/{path.name}"]
    check(store, repair=True)
    assert check(store).damages == ()
    with Store.open(store.root) as fresh:
        assert fresh.toc(image.config.diff_ids[0]).get("built") is not None


def test_a_table_that_is_not_as_it_was_written_is_not_believed(store: Store) -> None:
    diff_id = store.images.get("one:1").config.diff_ids[0]
    path = store.root / "tocs" / diff_id.hex
    path.write_bytes(path.read_bytes().replace(b"built", b"bulit"))
    with Store.open(store.root) as fresh:
        assert fresh.toc(diff_id).get("built") is not None
    assert check(store).damages == ()


def test_a_name_that_leads_nowhere_is_dropped(store: Store) -> None:
    with store.db.write() as db:
        db.execute("INSERT INTO ref VALUES ('docker.io/library/lost:1', ?, 'x', 0)", (f"sha256:{'0' * 64}",))
    assert [damage.where for damage in check(store).damages] == ["docker.io/library/lost:1"]
    check(store, repair=True)
    assert check(store).damages == ()

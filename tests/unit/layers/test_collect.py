"""Prune takes what nothing needs and nothing else."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from layers import BlobMissing, ImageConfig, NewLayer, Platform, Reference, Store, Usage, prune, usage
from layers.oci.image import describe
from layers.quick import fields
from tests.support.stored import new_image, new_layer, on_disk, resident


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store of three layers: `low` below images "one:1" and a nameless one, each with a layer of its own."""
    with Store.open(tmp_path / "store") as store:
        low = new_layer(store, {"low": b"low"})
        new_image(store, [low, new_layer(store, {"named": b"1"})], "one:1")
        new_image(store, [low, new_layer(store, {"nameless": b"2"})])
    return tmp_path / "store"


def layer_of(store: Store, path: str) -> NewLayer:
    """The layer that holds a file, by making it again."""
    return new_layer(store, {path: {"low": b"low", "named": b"1", "nameless": b"2", "cached": b"3"}[path]})


def test_images_without_a_name_go_and_shared_layers_stay(root: Path) -> None:
    with Store.open(root) as store:
        nameless = next(image for image in store.images.list() if not image.references)
        before = on_disk(store)
        pruned = prune(store)
        assert pruned.images == (nameless.id,)
        assert pruned.names == ()
        assert pruned.bytes >= 3 * 4096
        gone = before - on_disk(store)
        assert gone == {nameless.id, nameless.manifest.descriptor.digest, nameless.config.diff_ids[1]}
        assert store.images.get("one:1").size > 0
        assert prune(store).bytes == 0


def test_all_takes_named_images_too(root: Path) -> None:
    with Store.open(root) as store:
        pruned = prune(store, all=True)
        assert pruned.names == (Reference.parse("one:1"),)
        assert len(pruned.images) == 2
        assert on_disk(store) == set()
        assert os.listdir(root / "tocs") == []


def test_until_spares_what_is_younger(root: Path) -> None:
    with Store.open(root) as store:
        assert prune(store, all=True, until=time.time() - 3600).images == ()
        assert len(prune(store, all=True, until=time.time() + 1).images) == 2


def test_a_container_keeps_its_image(root: Path) -> None:
    with Store.open(root) as store:
        image = store.images.get("one:1")
    with Store.open(root) as store:
        resident(store, "c" * 64, image.id, *image.config.diff_ids)
        pruned = prune(store, all=True)
        assert len(pruned.images) == 1
        assert store.images.get("one:1").id == image.id
        assert usage(store).images.active == 1


def test_a_lease_of_a_living_process_keeps_and_that_of_a_dead_one_does_not(root: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from layers import Store\n"
        "store = Store.open(Path(sys.argv[1])); store.images.get('one:1')\n"
        "print('ready', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"ready\n"
        with Store.open(root) as store:
            assert prune(store, all=True).names == ()
            holder.kill()
            holder.wait()
            pruned = prune(store, all=True)
            assert pruned.names == (Reference.parse("one:1"),)
            assert pruned.counts["litter"] == 1


def test_records_go_when_no_image_has_their_layers(root: Path) -> None:
    with Store.open(root) as store:
        cached = new_layer(store, {"cached": b"3"})
        store.records.keep("lone", {}, [cached.diff_id])
        store.records.keep("shared", {}, [layer_of(store, "named").diff_id])
        store.records.keep("bare", {})
    with Store.open(root) as store:
        assert prune(store, cache=False).counts["records"] == 0
        assert prune(store).counts["records"] == 1
        assert store.records.find("lone") is None
        assert store.records.find("shared") is not None
        assert store.records.find("bare") is not None
        assert not store.blobs.has(cached.diff_id)
        assert prune(store, all=True).counts["records"] == 2


def test_compressed_forms_live_as_long_as_their_layer_unless_all(root: Path) -> None:
    with Store.open(root) as store:
        form = store.variants.compress(layer_of(store, "named").diff_id, "gzip")
    with Store.open(root) as store:
        prune(store)
        assert store.blobs.has(form.digest)
        store.images.get("one:1")  # leases it
    with Store.open(root) as store:
        prune(store, all=True)
        assert not store.blobs.has(form.digest)


def test_what_is_only_half_made_is_left_to_its_maker(root: Path) -> None:
    with Store.open(root) as one, Store.open(root) as other, one.blobs.writer() as writer, one.scratch() as scratch:
        writer.write(b"still writing")
        (scratch / "file").touch()
        prune(other, all=True)
        digest, _ = writer.commit()
        assert one.blobs.has(digest)
        prune(other, all=True)
        assert one.blobs.has(digest)
        assert (scratch / "file").exists()


def test_usage_counts_shared_layers_once(root: Path) -> None:
    with Store.open(root) as store:
        used = usage(store)
        files = [*map(store.blobs.path, on_disk(store)), *(root / "tocs").iterdir()]
        blocks = sum(path.stat().st_blocks * 512 for path in files)
        assert used.images.total == 2
        assert used.images.active == 0
        assert used.images.size == used.images.reclaimable == blocks
        freed = prune(store, all=True).bytes
        assert freed >= used.images.reclaimable
        with pytest.raises(BlobMissing):
            store.images.get("one:1")


def du(root: Path) -> int:
    """What du(1) says: bytes on the disk of everything below and with a directory."""
    return int(subprocess.run(["du", "-sB1", root], capture_output=True, check=True).stdout.split()[0])


def assert_adds_up(root: Path) -> None:
    with Store.open(root) as store:
        used = usage(store)
        told = sum(getattr(used, field.name).size for field in fields(Usage))
        assert told == pytest.approx(du(root), rel=0.01)


def test_sizes_add_up_to_what_du_says(root: Path) -> None:
    with Store.open(root) as store:
        packed = store.variants.compress(layer_of(store, "low").diff_id, "gzip")
        new_image(store, [layer_of(store, "low")], "packed:1", packed=[packed], created="2021-01-01T00:00:00Z")
        store.records.keep("lone", {}, [new_layer(store, {"cached": b"c" * 300_000}).diff_id])
        new_layer(store, {"orphan": b"o" * 200_000})
    (root / "scratch/0123456789abcdef").mkdir()
    (root / "scratch/0123456789abcdef/half").write_bytes(b"h" * 100_000)
    (root / "snapshots/unknown").mkdir()
    (root / f"partial/sha256.{'0' * 64}").write_bytes(b"p" * 40_000)
    (root / "containers/changed").mkdir()
    (root / "containers/changed/file").write_bytes(b"f" * 50_000)
    with Store.open(root) as store:
        used = usage(store)
        assert used.leftovers.size > 300_000
        assert used.cache.size > 300_000
        assert used.containers.size > 50_000
    assert_adds_up(root)
    with Store.open(root) as store:
        told = prune(store, dry=True)
    assert_adds_up(root)
    before = du(root)
    with Store.open(root) as store:
        done = prune(store)
    assert done == told
    assert before - du(root) == pytest.approx(done.bytes, rel=0.01)
    assert_adds_up(root)


def test_a_dry_run_tells_what_a_real_one_does_and_does_nothing(root: Path) -> None:
    with Store.open(root) as store:
        store.records.keep("lone", {}, [new_layer(store, {"cached": b"3"}).diff_id])
    with Store.open(root) as store:
        before = on_disk(store)
        told = [prune(store, dry=True, all=all) for all in (False, True)]
        assert on_disk(store) == before
        assert len(store.images.list()) == 2
    with Store.open(root) as store:
        assert prune(store) == told[0]
        done = prune(store, all=True)
        assert done.bytes == told[1].bytes - told[0].bytes


def test_labels_choose_images_and_spare_the_cache(root: Path) -> None:
    with Store.open(root) as store:
        low = layer_of(store, "low")
        for stage in ("test", "release"):
            config = ImageConfig.build(
                platform=Platform.host(),
                diff_ids=[low.diff_id],
                history=[],
                runtime={"Labels": {"stage": stage}},
                created="2022-01-01T00:00:00Z",
            )
            store.images.add(describe(config, [low.descriptor]), config, [Reference.parse(stage)])
        store.records.keep("lone", {}, [new_layer(store, {"cached": b"3"}).diff_id])
    with Store.open(root) as store:
        pruned = prune(store, all=True, labelled=lambda labels: labels.get("stage") == "test")
        assert [str(name) for name in pruned.names] == ["docker.io/library/test:latest"]
        assert (len(pruned.images), pruned.counts["records"]) == (1, 0)


def test_unused_for_looks_at_the_last_use(root: Path) -> None:
    with Store.open(root) as store:
        with store.db.write() as db:
            db.execute("UPDATE image SET used = 1000, added = 1000")
        store.images.get("one:1")  # a use
    with Store.open(root) as store:
        assert len(prune(store, all=True, unused=time.time() - 3600).images) == 1
    with Store.open(root) as store:
        assert len(prune(store, all=True, until=time.time() - 3600).images) == 1


def test_records_that_were_used_longest_ago_go_until_the_cache_is_small_enough(root: Path) -> None:
    with Store.open(root) as store:
        layers = [new_layer(store, {f"cached-{at}": b"c" * 100_000}) for at in range(4)]
        for at, layer in enumerate(layers):
            store.records.keep(f"key-{at}", {}, [layer.diff_id])
        store.records.keep("shares", {}, [layers[0].diff_id])
        store.records.keep("bare", {})
        store.records.keep("of an image", {}, [layer_of(store, "low").diff_id])
        with store.db.write() as db:
            db.execute("UPDATE record SET used = 10 WHERE key = 'of an image'")
            db.execute("UPDATE record SET used = 20 WHERE key = 'bare'")
            for at in range(4):
                db.execute("UPDATE record SET used = ? WHERE key = ?", (100 + at, f"key-{at}"))
    with Store.open(root) as store:
        before = usage(store).cache.size
        assert 400_000 < before < 500_000
        assert prune(store, images=False, keep=before).counts["records"] == 0
        prune(store, images=False, all=True, keep=before - 150_000)
        # key-0 frees nothing: its layer is that of "shares", too
        assert [record.key for record in store.records.list()] == ["of an image", "bare", "key-3", "shares"]
        assert usage(store).cache.size <= before - 150_000


def test_the_database_shrinks_when_most_of_its_rows_are_gone(root: Path) -> None:
    with Store.open(root) as store:
        with store.db.write() as db:
            db.executemany("INSERT INTO record VALUES (?, ?, 0, 0)", ((f"{at:064}", "{}" * 50) for at in range(20_000)))
        store.records.keep("young", {})
        store.db.rewind()
        before = (root / "db.sqlite").stat().st_size
        assert prune(store, all=True, unused=1).counts["records"] == 20_000
        assert (root / "db.sqlite").stat().st_size < before / 4
        assert [record.key for record in store.records.list()] == ["young"]

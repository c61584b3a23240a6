"""Prune takes what nothing needs and nothing else."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from layers import BlobMissing, NewLayer, Reference, Store, prune, usage
from tests.support.stored import new_image, new_layer, on_disk


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
    folder = root / "containers" / ("c" * 64)
    folder.mkdir()
    (folder / "pins").write_text("\n".join(map(str, (image.id, *image.config.diff_ids))))
    with Store.open(root) as store:
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
        blocks = sum(store.blobs.path(digest).stat().st_blocks * 512 for digest in on_disk(store))
        assert used.images.total == 2
        assert used.images.active == 0
        assert used.images.size == used.images.reclaimable == blocks
        freed = prune(store, all=True).bytes
        assert freed >= used.images.reclaimable
        with pytest.raises(BlobMissing):
            store.images.get("one:1")

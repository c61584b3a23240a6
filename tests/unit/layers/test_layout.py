"""OCI layouts: their index.json is shared with other tools and other processes."""

import io
import json
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from layers import BlobMissing, Descriptor, Digest, DigestInvalid, DocumentInvalid, Manifest, NameAmbiguous
from layers.moving.layout import Layout
from layers.moving.names import FULL_NAME, REF_NAME, Names
from layers.oci import mediatypes

CONFIG = Descriptor.of(b"{}", mediatypes.OCI_EMPTY)


def manifest(word: str) -> Manifest:
    return Manifest.build(CONFIG, (), annotations={"word": word})


def put(layout: Layout, word: str) -> Descriptor:
    made = manifest(word)
    layout.put(made.descriptor, io.BytesIO(made.raw))
    return made.descriptor


def entry(word: str, **annotations: str) -> dict[str, Any]:
    return (
        {**manifest(word).descriptor.to_json(), "annotations": annotations}
        if annotations
        else manifest(word).descriptor.to_json()
    )


def written(root: Path, *entries: dict[str, Any], **more: Any) -> Layout:
    layout = Layout.create(root)
    (root / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries, **more}))
    for word in ("a", "b"):
        put(layout, word)
    return layout


def test_entries_of_others_stay_as_they_are(tmp_path: Path) -> None:
    strange = {
        "mediaType": "application/x-tomorrow",
        "digest": "blake9:" + "0" * 10,
        "size": 1,
        "x.field": [1.0],
        "annotations": {REF_NAME: "strange"},
    }
    layout = written(tmp_path / "l", strange, entry("a", **{REF_NAME: "old", "other": "note"}), annotations={"k": "v"})
    target = put(layout, "b")
    layout.tag("new", target)
    value = json.loads((tmp_path / "l/index.json").read_text())
    assert value["manifests"][:2] == [strange, entry("a", **{REF_NAME: "old", "other": "note"})]
    assert value["annotations"] == {"k": "v"}
    assert layout.tags() == ("new", "old")
    layout.delete("old")
    assert json.loads((tmp_path / "l/index.json").read_text())["manifests"][0] == strange
    with pytest.raises(DigestInvalid, match="unsupported algorithm"):
        layout.resolve("strange")
    with pytest.raises(BlobMissing):
        layout.delete("old")


def test_one_name_on_two_digests_asks_for_a_digest(tmp_path: Path) -> None:
    layout = written(tmp_path / "l", entry("a", **{REF_NAME: "x"}), entry("b", **{REF_NAME: "x"}))
    with pytest.raises(NameAmbiguous, match="choose by a digest") as failed:
        layout.resolve("x")
    assert set(failed.value.candidates) == {str(manifest(word).descriptor.digest) for word in "ab"}
    assert layout.resolve(str(manifest("b").descriptor.digest)) == manifest("b").descriptor
    layout.tag("x", manifest("b").descriptor)
    assert layout.resolve("x") == manifest("b").descriptor


def test_the_same_name_twice_on_one_digest_is_one(tmp_path: Path) -> None:
    layout = written(tmp_path / "l", entry("a", **{REF_NAME: "x"}), entry("a", **{REF_NAME: "x"}))
    assert layout.resolve("x") == layout.resolve("") == layout.resolve("@1") == manifest("a").descriptor


def test_names_as_several_tools_write_them(tmp_path: Path) -> None:
    whole = "docker.io/library/app:1"
    by_docker = entry("a", **{FULL_NAME: whole, REF_NAME: "1"})
    by_podman = entry("b", **{REF_NAME: "localhost/app:1"})
    layout = written(tmp_path / "l", by_docker, by_podman)
    for name in (whole, "1", "app:1", "library/app:1"):
        assert layout.resolve(name) == manifest("a").descriptor
    assert layout.resolve("localhost/app:1") == manifest("b").descriptor
    for name in ("", "@2", "@x", "app:2", "2"):
        with pytest.raises((BlobMissing, NameAmbiguous)):
            layout.resolve(name)


def test_what_others_noted_of_an_entry_stays_when_it_is_named(tmp_path: Path) -> None:
    noted = {**entry("a", other="note"), "platform": {"os": "linux", "architecture": "arm64"}, "x.field": 1}
    layout = written(tmp_path / "l", noted)
    for name in ("x", "x"):
        layout.tag(name, manifest("a").descriptor)
        [now] = layout.names().value["manifests"]
        assert now == {**noted, "annotations": {"other": "note", REF_NAME: "x"}}
    layout.tag("y", manifest("a").descriptor)
    assert layout.tags() == ("x", "y")


def test_an_index_without_entries(tmp_path: Path) -> None:
    layout = written(tmp_path / "l")
    (tmp_path / "l/index.json").write_text('{"schemaVersion": 2, "manifests": null}')
    with pytest.raises(BlobMissing, match="an image is not in"):
        layout.resolve("")
    layout.tag("", manifest("a").descriptor)
    layout.tag("", manifest("a").descriptor)
    assert len(json.loads((tmp_path / "l/index.json").read_text())["manifests"]) == 1
    layout.tag("named", manifest("a").descriptor)
    assert [note["annotations"] for note in layout.names().value["manifests"]] == [{REF_NAME: "named"}]


def test_a_blob_that_is_missing_or_cut_short(tmp_path: Path) -> None:
    layout = written(tmp_path / "l", entry("a", **{REF_NAME: "x"}))
    blob = tmp_path / "l/blobs/sha256" / manifest("a").descriptor.digest.hex
    blob.unlink()
    assert layout.resolve("x") == manifest("a").descriptor
    with pytest.raises(BlobMissing, match="layout"):
        layout.open(manifest("a").descriptor)
    blob.write_bytes(manifest("a").raw[:10])
    assert not layout.has(manifest("a").descriptor)
    put(layout, "a")
    assert blob.read_bytes() == manifest("a").raw
    blob.unlink()
    os.mkfifo(blob)
    with pytest.raises(BlobMissing, match="regular file"):
        layout.open(manifest("a").descriptor)


@pytest.mark.parametrize(
    "text",
    ["[]", "{", '{"schemaVersion": 1}', '{"schemaVersion": 2, "manifests": 1}', '{"schemaVersion": 2, "layers": []}'],
)
def test_an_index_that_is_none(tmp_path: Path, text: str) -> None:
    Layout.create(tmp_path / "l")
    (tmp_path / "l/index.json").write_text(text)
    with pytest.raises(DocumentInvalid):
        Layout.at(tmp_path / "l")


def test_a_directory_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("")
    with pytest.raises(DocumentInvalid, match="'precious'"):
        Layout.create(tmp_path)
    assert os.listdir(tmp_path) == ["precious"]
    with pytest.raises(DocumentInvalid, match="no directory"):
        Layout.create(tmp_path / "precious")
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(BlobMissing):
            Layout.at(path)
    Layout.create(tmp_path / "l")
    (tmp_path / "l/oci-layout").write_text('{"imageLayoutVersion": "2.0.0"}')
    with pytest.raises(DocumentInvalid, match=r"2\.0\.0"):
        Layout.at(tmp_path / "l")


def test_what_a_digest_names_need_not_be_listed(tmp_path: Path) -> None:
    layout = Layout.create(tmp_path / "l")
    assert layout.resolve(str(put(layout, "hidden").digest)) == manifest("hidden").descriptor
    (tmp_path / "l/blobs/sha256" / ("0" * 64)).write_bytes(manifest("hidden").raw)
    with pytest.raises(DocumentInvalid, match="the bytes that came"):
        layout.resolve("sha256:" + "0" * 64)


def name_many(root: Path, worker: int, count: int) -> None:
    layout = Layout.at(root)
    for number in range(count):
        layout.tag(f"{worker}-{number}", put(layout, f"{worker}-{number}"))


def test_eight_processes_lose_no_name(tmp_path: Path) -> None:
    Layout.create(tmp_path / "l")
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=name_many, args=(tmp_path / "l", worker, 12)) for worker in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 8
    layout = Layout.at(tmp_path / "l")
    assert len(layout.tags()) == 96
    assert all(layout.has(layout.resolve(name)) for name in layout.tags())


def test_a_kill_at_any_moment_leaves_a_layout(tmp_path: Path) -> None:
    Layout.create(tmp_path / "l")
    context = multiprocessing.get_context("fork")
    for round_ in range(6):
        worker = context.Process(target=name_many, args=(tmp_path / "l", round_, 10_000))
        worker.start()
        time.sleep(0.02 + 0.03 * round_)
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
        layout = Layout.at(tmp_path / "l")
        for name in layout.tags():
            with layout.open(layout.resolve(name)) as file:
                assert Digest.of(file.read()) == layout.resolve(name).digest
        layout.tag(f"after-{round_}", put(layout, f"after-{round_}"))
    litter = {path.name for path in (tmp_path / "l").iterdir()} - {"blobs", "oci-layout", "index.json"}
    assert litter <= {".index.json.part"}


def test_names_are_a_value() -> None:
    names = Names({"schemaVersion": 2, "manifests": []})
    named = names.pointing("x", manifest("a").descriptor)
    assert names.listed() == ()
    assert named.listed() == ("x",)
    assert named.pointing("x", manifest("a").descriptor) == named
    assert named.without("x") == names
    assert Names.parse(named.raw) == named


def test_a_whole_name_goes_however_it_is_written(tmp_path: Path) -> None:
    for name in ("app:1", "docker.io/library/app:1"):
        layout = written(tmp_path / name.replace("/", "-"), entry("a"))
        layout.enter("1", put(layout, "b"), "docker.io/library/app:1")
        assert layout.tags() == ("app:1",)
        assert layout.resolve(name) == manifest("b").descriptor
        layout.delete(name)
        assert layout.tags() == ()
    with pytest.raises(BlobMissing):
        layout.delete("app:1")

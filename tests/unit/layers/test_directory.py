"""skopeo's directories: one image, nothing else."""

import gzip
import io
import json
import os
from pathlib import Path

import pytest

from layers import BlobMissing, Descriptor, Digest, DocumentInvalid, ImageConfig, Index, Manifest, Platform
from layers.moving.directory import VERSION, Directory
from layers.oci import mediatypes
from tests.support.stored import tar_of


def put(here: Directory, data: bytes, kind: str) -> Descriptor:
    wanted = Descriptor.of(data, kind)
    here.put(wanted, io.BytesIO(data))
    return wanted


def image(here: Directory, word: str, *shared: Descriptor) -> Descriptor:
    tar = tar_of({word: word.encode()})
    config = ImageConfig.build(
        platform=Platform.host(), diff_ids=[Digest.of(tar)], history=(), runtime={}, created=None
    )
    layers = [put(here, gzip.compress(tar, mtime=0), mediatypes.OCI_LAYER_GZIP), *shared]
    made = Manifest.build(put(here, config.raw, mediatypes.OCI_CONFIG), layers)
    return put(here, made.raw, mediatypes.OCI_MANIFEST)


def test_a_new_image_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    here = Directory.create(tmp_path / "d")
    shared = put(here, b"in both", "application/x-layer")
    inode = (tmp_path / "d" / shared.digest.hex).stat().st_ino
    here.tag("", image(here, "old", shared))
    (tmp_path / "d/notes.txt").write_text("mine")
    target = image(here, "new", shared)
    here.tag("", target)
    names = set(os.listdir(tmp_path / "d"))
    with here.open(target) as stream:
        manifest = Manifest.parse(stream.read(), target.media_type)
    parts = {part.digest.hex for part in (manifest.config, *manifest.layers)}
    assert names == {"version", "manifest.json", "notes.txt", *parts}
    assert (tmp_path / "d/version").read_bytes() == VERSION
    assert (tmp_path / "d" / shared.digest.hex).stat().st_ino == inode


def test_an_index_keeps_its_images(tmp_path: Path) -> None:
    here = Directory.create(tmp_path / "d")
    images = [image(here, word) for word in ("amd", "arm")]
    absent = Descriptor(mediatypes.OCI_MANIFEST, Digest.of(b"absent"), 6)
    index = put(here, Index.build([*images, absent]).raw, mediatypes.OCI_INDEX)
    here.tag("", index)
    assert here.resolve("") == index
    assert sum(name.endswith(".manifest.json") for name in os.listdir(tmp_path / "d")) == 2
    here.tag("", images[0])
    assert here.resolve("") == images[0]
    assert not here.has(images[1])


def test_what_is_no_such_directory(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/precious").write_text("")
    (tmp_path / "file").write_text("")
    for name in ("full", "file"):
        with pytest.raises(DocumentInvalid):
            Directory.create(tmp_path / name)
        with pytest.raises(BlobMissing):
            Directory.at(tmp_path / name)
    here = Directory.create(tmp_path / "d")
    for name in ("", "latest", "sha256:" + "0" * 64):
        with pytest.raises(BlobMissing):
            here.resolve(name)
    with pytest.raises(DocumentInvalid, match="without a name"):
        here.tag("latest", image(here, "x"))


def test_a_manifest_that_is_not_the_one_it_is_called(tmp_path: Path) -> None:
    here = Directory.create(tmp_path / "d")
    target = image(here, "x")
    path = tmp_path / "d" / f"{target.digest.hex}.manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=1))
    assert not here.has(target)
    with pytest.raises(DocumentInvalid, match="the bytes that came"):
        here.resolve(str(target.digest))
    (tmp_path / "d/manifest.json").write_text("{}")
    with pytest.raises(DocumentInvalid, match="neither"):
        here.resolve("")

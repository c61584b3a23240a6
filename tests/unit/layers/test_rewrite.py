"""Images in another form: only what was asked for changes, and what came is what was promised."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import zstandard

from layers import BlobMismatch, Descriptor, Digest, DocumentInvalid, ImageConfig, Manifest, Platform
from layers.moving.forms import ScratchForms
from layers.moving.layout import Layout
from layers.moving.rewrite import Rewritten
from layers.moving.transfer import copy
from layers.oci import mediatypes
from tests.support.stored import tar_of

ONE, TWO = tar_of({"one": b"1" * 3000}), tar_of({"two": b"2" * 3000})
RAW: dict[str, Callable[[bytes], bytes]] = {
    mediatypes.OCI_LAYER: lambda data: data,
    mediatypes.OCI_LAYER_GZIP: gzip.compress,
    mediatypes.OCI_LAYER_ZSTD: zstandard.compress,
    mediatypes.DOCKER_LAYER_GZIP: gzip.compress,
    "application/vnd.oci.image.layer.v1.tar+xz": lambda data: b"xz" + data,
}


@pytest.fixture
def here(tmp_path: Path) -> Layout:
    return Layout.create(tmp_path / "here")


def put(here: Layout, data: bytes, kind: str) -> Descriptor:
    wanted = Descriptor.of(data, kind)
    here.put(wanted, io.BytesIO(data))
    return wanted


def image(here: Layout, *kinds: str, docker: bool = False, **more: Any) -> Descriptor:
    """An image of layers of these kinds, named x, with whatever else its manifest should say."""
    config = ImageConfig.build(
        platform=Platform.parse("linux/amd64"),
        diff_ids=[Digest.of(tar) for tar in (ONE, TWO)[: len(kinds)]],
        history=(),
        runtime={},
        created=None,
    )
    layers = [put(here, RAW[kind](tar), kind) for kind, tar in zip(kinds, (ONE, TWO), strict=False)]
    about = put(here, config.raw, mediatypes.DOCKER_CONFIG if docker else mediatypes.OCI_CONFIG)
    kind = mediatypes.DOCKER_MANIFEST if docker else mediatypes.OCI_MANIFEST
    value = json.loads(Manifest.build(about, layers, media_type=kind).raw)
    target = put(here, json.dumps({**value, **more}).encode(), kind)
    here.tag("x", target)
    return target


@contextmanager
def view(here: Layout, codec: str | None = None, *, force: bool = True, kind: str | None = None) -> Iterator[Rewritten]:
    room = here.root.parent / f"room-{codec}-{force}-{kind}"
    yield Rewritten(here, ScratchForms(here, lambda: nullcontext(room), room), codec=codec, kind=kind, force=force)


def read(there: Layout, name: str) -> tuple[dict[str, Any], list[bytes]]:
    target = there.resolve(name)
    with there.open(target) as stream:
        raw = stream.read()
    manifest = Manifest.parse(raw, target.media_type)
    blobs = []
    for layer in manifest.layers:
        with there.open(layer) as stream:
            blobs.append(stream.read())
    return json.loads(raw), blobs


def unpacked(data: bytes) -> bytes:
    if data.startswith(b"\x1f\x8b"):
        return gzip.decompress(data)
    return zstandard.ZstdDecompressor().decompressobj().decompress(data) if data.startswith(b"\x28\xb5") else data


@pytest.mark.parametrize("codec", ["gzip", "zstd", "none"])
def test_every_layer_under_one_codec(here: Layout, tmp_path: Path, codec: str) -> None:
    was = image(here, mediatypes.OCI_LAYER_GZIP, mediatypes.OCI_LAYER_ZSTD, annotations={"a": "b"}, more=1)
    there = Layout.create(tmp_path / "there")
    with view(here, codec) as seen:
        found = copy(seen, "x", there, "y")
        assert seen.was[found.digest] == was.digest
    value, blobs = read(there, "y")
    assert [unpacked(blob) for blob in blobs] == [ONE, TWO]
    kind = {"gzip": mediatypes.OCI_LAYER_GZIP, "zstd": mediatypes.OCI_LAYER_ZSTD, "none": mediatypes.OCI_LAYER}[codec]
    before, _ = read(here, "x")
    assert [layer["mediaType"] for layer in value["layers"]] == [kind, kind]
    assert {**value, "layers": 0} == {**before, "layers": 0}, "the rest is as it was"


def test_nothing_changes_where_nothing_has_to(here: Layout, tmp_path: Path) -> None:
    was = image(here, mediatypes.OCI_LAYER_GZIP)
    there = Layout.create(tmp_path / "there")
    for codec, force, kind in (("gzip", True, "oci"), ("zstd", False, None), (None, False, "oci")):
        with view(here, codec, force=force, kind=kind) as seen:
            assert copy(seen, "x", there, "y") == was


def test_only_raw_layers_are_packed_unless_all_are_wanted(here: Layout, tmp_path: Path) -> None:
    image(here, mediatypes.OCI_LAYER, mediatypes.OCI_LAYER_ZSTD)
    there = Layout.create(tmp_path / "there")
    with view(here, "gzip", force=False) as seen:
        copy(seen, "x", there, "y")
    value, blobs = read(there, "y")
    assert [layer["mediaType"][-4:] for layer in value["layers"]] == ["gzip", "zstd"]
    assert blobs[1] == zstandard.compress(TWO)


def test_from_dockers_media_types_and_back(here: Layout, tmp_path: Path) -> None:
    was = image(here, mediatypes.DOCKER_LAYER_GZIP, docker=True)
    there = Layout.create(tmp_path / "there")
    with view(here, kind="oci") as seen:
        copy(seen, "x", there, "oci")
    value, _ = read(there, "oci")
    assert value["mediaType"] == mediatypes.OCI_MANIFEST
    assert value["config"]["mediaType"] == mediatypes.OCI_CONFIG
    there.tag("x", there.resolve("oci"))
    with view(there, kind="docker") as seen:
        copy(seen, "x", here, "docker")
    assert json.loads(json.dumps(read(here, "docker")[0])) == read(here, "x")[0]
    assert was.media_type == mediatypes.DOCKER_MANIFEST


def test_what_docker_cannot_say(here: Layout, tmp_path: Path) -> None:
    there = Layout.create(tmp_path / "there")
    image(here, mediatypes.OCI_LAYER_ZSTD)
    with view(here, kind="docker") as seen, pytest.raises(DocumentInvalid, match="zstd"):
        copy(seen, "x", there, "y")
    image(here, mediatypes.OCI_LAYER_GZIP, annotations={"lost": "note"})
    with view(here, kind="docker", force=False) as seen:
        copy(seen, "x", there, "y")
        assert list(seen.notes) == ["docker's format knows no annotations: the manifest loses them"]
    assert "annotations" not in read(there, "y")[0]
    image(here, mediatypes.DOCKER_LAYER_GZIP, docker=True)
    with view(here, "zstd") as seen:
        copy(seen, "x", there, "z")
        assert list(seen.notes) == ["zstd layers need OCI media types, so the image gets them"]
    assert read(there, "z")[0]["mediaType"] == mediatypes.OCI_MANIFEST


def test_annotations_of_old_bytes_go_with_them(here: Layout, tmp_path: Path) -> None:
    image(here, mediatypes.OCI_LAYER_ZSTD)
    value, _ = read(here, "x")
    notes = {"io.github.containers.zstd-chunked.manifest-checksum": "sha256:0", "kept": "yes"}
    value["layers"][0]["annotations"] = notes
    here.tag("x", put(here, json.dumps(value).encode(), mediatypes.OCI_MANIFEST))
    there = Layout.create(tmp_path / "there")
    with view(here, "gzip") as seen:
        copy(seen, "x", there, "y")
    assert read(there, "y")[0]["layers"][0]["annotations"] == {"kept": "yes"}


def test_a_layer_of_an_unknown_kind_stays(here: Layout, tmp_path: Path) -> None:
    was = image(here, "application/vnd.oci.image.layer.v1.tar+xz")
    with view(here, "gzip") as seen:
        assert copy(seen, "x", Layout.create(tmp_path / "there"), "y") == was


def test_a_layer_that_is_not_what_the_config_says(here: Layout, tmp_path: Path) -> None:
    image(here, mediatypes.OCI_LAYER_GZIP)
    value, _ = read(here, "x")
    other = put(here, gzip.compress(TWO), mediatypes.OCI_LAYER_GZIP)
    value["layers"] = [other.to_json()]
    here.tag("x", put(here, json.dumps(value).encode(), mediatypes.OCI_MANIFEST))
    there = Layout.create(tmp_path / "there")
    with view(here, "none") as seen, pytest.raises(DocumentInvalid, match="its image's config says"):
        copy(seen, "x", there, "y")
    path = here.root / "blobs/sha256" / other.digest.hex
    path.unlink()
    path.write_bytes(gzip.compress(TWO + b"\0")[: other.size].ljust(other.size, b"\0"))
    with view(here, "zstd") as seen, pytest.raises(Exception, match=r"it is|invalid archive|nothing was kept"):
        copy(seen, "x", there, "y")
    assert there.tags() == ()


def test_a_layer_longer_than_promised(here: Layout, tmp_path: Path) -> None:
    image(here, mediatypes.OCI_LAYER)
    path = here.root / "blobs/sha256" / Digest.of(ONE).hex
    path.unlink()
    path.write_bytes(ONE + b"\0" * 512)
    with view(here, "gzip") as seen, pytest.raises(BlobMismatch):
        copy(seen, "x", Layout.create(tmp_path / "there"), "y")


def test_mixed_media_types_are_nobodys_business_unless_asked(here: Layout, tmp_path: Path) -> None:
    there = Layout.create(tmp_path / "there")
    was = image(here, mediatypes.DOCKER_LAYER_GZIP)
    with view(here, "gzip", force=False) as seen:
        assert copy(seen, "x", there, "y") == was
    with view(here, "none") as seen:
        copy(seen, "x", there, "y")
    assert [layer["mediaType"] for layer in read(there, "y")[0]["layers"]] == [mediatypes.OCI_LAYER]
    with view(here, kind="oci") as seen:
        copy(seen, "x", there, "y")
    assert [layer["mediaType"] for layer in read(there, "y")[0]["layers"]] == [mediatypes.OCI_LAYER_GZIP]

"""Edits of an image's documents: what was not asked for stays byte for byte."""

import json
from typing import Any

import pytest

from layers import Descriptor, Digest, DocumentInvalid, History, ImageConfig, Manifest, NewLayer, Platform
from layers.oci import mediatypes
from layers.oci.documents import encode
from layers.oci.image import edit, empty, rewrite, stack

DIFF = Digest.of(b"a layer")
GZIP = Descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", Digest.of(b"packed"), 6)


def config(**more: Any) -> ImageConfig:
    """A config with a field that no specification knows, not written as we would."""
    value = {
        "x-unknown": [1, {"y": None}],
        "os": "linux",
        "architecture": "amd64",
        "rootfs": {"type": "layers", "diff_ids": [str(DIFF)]},
        "config": {"Env": ["A=b"], "X": 1},
        **more,
    }
    return ImageConfig.parse(json.dumps(value, indent=3).encode())


def manifest(kind: str, config: ImageConfig, layer: Descriptor = GZIP) -> Manifest:
    docker = kind == mediatypes.DOCKER_MANIFEST
    value = {
        "schemaVersion": 2,
        "mediaType": kind,
        "config": config.descriptor(mediatypes.DOCKER_CONFIG if docker else mediatypes.OCI_CONFIG).to_json(),
        "layers": [{**layer.to_json(), "x-unknown": "kept"}],
        "x-unknown": True,
    }
    return Manifest.parse(json.dumps(value, indent=3).encode(), kind)


def test_nothing_asked_for_is_the_same_value() -> None:
    one = config()
    assert edit(one, diff_ids=one.diff_ids, history=one.history, runtime=dict(one.runtime)) is one
    for kind in (mediatypes.DOCKER_MANIFEST, mediatypes.OCI_MANIFEST):
        written = manifest(kind, one)
        assert rewrite(written, one, written.layers) is written
        assert stack(written, one, [], []) == (written, one)


def test_an_edited_config_keeps_what_we_do_not_know() -> None:
    one = config(container="of another build")
    runtime = {**one.runtime, "User": "me"}
    value = json.loads(edit(one, diff_ids=one.diff_ids, history=one.history, runtime=runtime).raw)
    assert value["x-unknown"] == [1, {"y": None}]
    assert value["config"] == {"Env": ["A=b"], "X": 1, "User": "me"}
    assert "container" not in value and "history" not in value


def test_another_platform_replaces_all_of_the_old_one() -> None:
    one = config(**{"os.version": "10", "os.features": ["a"], "variant": "v3"})
    value = json.loads(edit(one, diff_ids=one.diff_ids, history=(), platform=Platform.parse("linux/arm/v6")).raw)
    assert (value["architecture"], value["variant"]) == ("arm", "v6")
    assert not value.keys() & {"os.version", "os.features"}


def test_a_docker_manifest_stays_one_as_long_as_it_can() -> None:
    before = manifest(mediatypes.DOCKER_MANIFEST, config())
    changed = config(author="me")
    after = rewrite(before, changed, before.layers)
    assert after.media_type == mediatypes.DOCKER_MANIFEST
    assert after.config == changed.descriptor(mediatypes.DOCKER_CONFIG)
    assert json.loads(after.raw)["layers"] == json.loads(before.raw)["layers"]
    assert json.loads(after.raw)["x-unknown"] is True


@pytest.mark.parametrize("what", ["annotations", "layer"])
def test_what_docker_cannot_say_makes_it_oci(what: str) -> None:
    one = config()
    before = manifest(mediatypes.DOCKER_MANIFEST, one)
    if what == "annotations":
        after = rewrite(before, one, before.layers, {"a": "b"})
        assert after.annotations == {"a": "b"}
    else:
        after, one = stack(before, one, [NewLayer(Digest.of(b"new"), 3)], [History("2020-01-01T00:00:00Z", "x")])
        assert json.loads(after.raw)["layers"][1] == NewLayer(Digest.of(b"new"), 3).descriptor.to_json()
    value = json.loads(after.raw)
    assert value["mediaType"] == mediatypes.OCI_MANIFEST
    assert value["config"] == one.descriptor().to_json()
    assert value["layers"][0] == {
        "mediaType": mediatypes.OCI_LAYER_GZIP, "digest": str(GZIP.digest), "size": 6, "x-unknown": "kept"
    }  # fmt: skip


def test_annotations_can_go() -> None:
    one = config()
    before = manifest(mediatypes.OCI_MANIFEST, one)
    noted = rewrite(before, one, before.layers, {"a": "b"})
    assert "annotations" not in json.loads(rewrite(noted, one, noted.layers, {}).raw)


def test_layers_and_diff_ids_go_together() -> None:
    one = config()
    with pytest.raises(DocumentInvalid, match="2 layers for 1"):
        rewrite(manifest(mediatypes.OCI_MANIFEST, one), one, [GZIP, GZIP])


def test_an_image_from_scratch_grows() -> None:
    manifest, config = empty(Platform.host(), "2020-01-01T00:00:00Z")
    assert (manifest.layers, config.diff_ids) == ((), ())
    layer = NewLayer(DIFF, 7)
    manifest, config = stack(manifest, config, [layer], [History("2021-01-01T00:00:00Z", "x")])
    assert (manifest.layers, config.diff_ids, config.created) == ((layer.descriptor,), (DIFF,), "2021-01-01T00:00:00Z")
    assert manifest.config.digest == Digest.of(config.raw)
    assert encode(json.loads(manifest.raw)) == manifest.raw

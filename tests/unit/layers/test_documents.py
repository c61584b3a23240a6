"""Documents keep their bytes, and what is two things at once is refused."""

import copy
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layers import (
    Descriptor,
    Digest,
    DigestInvalid,
    DocumentInvalid,
    History,
    ImageConfig,
    Index,
    Manifest,
    Platform,
    PlatformMissing,
)
from layers.oci import mediatypes
from layers.oci.documents import decode, media_type_of, timestamp

CONFIG = Descriptor.of(b"{}", mediatypes.OCI_CONFIG)


def entry(platform: str, data: bytes) -> Descriptor:
    made = Descriptor.of(data, mediatypes.OCI_MANIFEST)
    return Descriptor(made.media_type, made.digest, made.size, Platform.parse(platform))


def test_a_manifest_we_wrote_reads_back() -> None:
    made = Manifest.build(CONFIG, [Descriptor.of(b"x", mediatypes.OCI_LAYER)], annotations={"b": "2", "a": "1"})
    read = Manifest.parse(made.raw, mediatypes.OCI_MANIFEST)
    assert read == made
    assert read.descriptor.digest == Digest.of(made.raw)


def test_unknown_fields_survive_because_bytes_do() -> None:
    value = {"schemaVersion": 2, "config": CONFIG.to_json(), "layers": [], "x-new": {"y": 1}}
    raw = json.dumps(value, indent=3).encode()
    assert Manifest.parse(raw, mediatypes.OCI_MANIFEST).raw == raw


@pytest.mark.parametrize(
    "change",
    [
        {"manifests": []},
        {"schemaVersion": 1},
        {"mediaType": mediatypes.OCI_INDEX},
        {"layers": {}},
        {"config": {"mediaType": "x", "digest": "sha256:ABC", "size": 1}},
        {"config": {**CONFIG.to_json(), "size": -1}},
        {"config": {**CONFIG.to_json(), "size": 2**63}},
        {"config": {**CONFIG.to_json(), "data": "eHh4"}},
    ],
)
def test_confused_manifests_are_refused(change: dict[str, object]) -> None:
    value = {"schemaVersion": 2, "config": CONFIG.to_json(), "layers": [], **change}
    with pytest.raises((DocumentInvalid, DigestInvalid)):
        Manifest.parse(json.dumps(value).encode(), mediatypes.OCI_MANIFEST)


@pytest.mark.parametrize("raw", [b"", b"[]", b"nul", b'{"a":1,"a":2}', b'{"a":NaN}', b"[" * 100_000, b"\xff\xfe"])
def test_what_is_no_json_object_is_refused(raw: bytes) -> None:
    with pytest.raises(DocumentInvalid):
        Manifest.parse(raw, mediatypes.OCI_MANIFEST)


def test_an_index_chooses_the_best_variant_and_lists_what_there_is() -> None:
    index = Index.build([entry("linux/amd64", b"a"), entry("linux/arm/v6", b"b"), entry("linux/arm/v7", b"c")])
    assert index.choose(Platform.parse("linux/arm/v7")).digest == Digest.of(b"c")
    assert index.choose(Platform.parse("linux/arm")).digest == Digest.of(b"c")
    assert Platform.parse("local") == Platform.host()
    with pytest.raises(DocumentInvalid, match="no architecture"):
        Platform.parse("arm46")
    assert index.choose(Platform.parse("linux/amd64/v3")).digest == Digest.of(b"a")
    with pytest.raises(PlatformMissing, match="linux/arm/v6"):
        index.choose(Platform.parse("linux/s390x"))


def test_attestations_are_never_chosen() -> None:
    attestation = Descriptor(
        mediatypes.OCI_MANIFEST,
        Digest.of(b"s"),
        1,
        Platform("unknown", "unknown"),
        {"vnd.docker.reference.type": "attestation-manifest"},
    )
    with pytest.raises(PlatformMissing, match="available: none"):
        Index.build([attestation]).choose(Platform("unknown", "unknown"))


def test_a_config_reads_back_and_its_digest_is_the_image_id() -> None:
    made = ImageConfig.build(
        platform=Platform.parse("linux/arm64/v8"),
        diff_ids=[Digest.of(b"l")],
        history=[History(created_by="RUN x"), History(created_by="ENV a", empty_layer=True)],
        runtime={"Env": ["A=1"]},
        created="2026-01-01T00:00:00Z",
    )
    assert ImageConfig.parse(made.raw) == made
    assert made.digest == Digest.of(made.raw)
    assert made.platform == Platform("linux", "arm64")


def test_sha512_data_are_checked_under_sha512() -> None:
    wanted = Descriptor.of(b"xyz", "text/plain", "sha512").to_json()
    assert Descriptor.from_json({**wanted, "data": "eHl6"}).data == b"xyz"
    for data in ("eHh4", "not base64!", 3, ["eHl6"]):
        with pytest.raises(DocumentInvalid, match="embedded data"):
            Descriptor.from_json({**wanted, "data": data})


@pytest.mark.parametrize("more", [{"layers": []}, {"config": CONFIG.to_json()}, {"manifests": "x"}])
def test_confused_indexes_are_refused(more: dict[str, object]) -> None:
    value = {"schemaVersion": 2, "manifests": [], **more}
    with pytest.raises(DocumentInvalid):
        Index.parse(json.dumps(value).encode(), mediatypes.OCI_INDEX)


def test_what_nobody_announced_says_itself_what_it_is() -> None:
    manifest = {"schemaVersion": 2, "config": CONFIG.to_json(), "layers": []}
    for value, kind in (
        (manifest, mediatypes.OCI_MANIFEST),
        ({"schemaVersion": 2, "manifests": []}, mediatypes.OCI_INDEX),
        ({**manifest, "mediaType": mediatypes.DOCKER_MANIFEST}, mediatypes.DOCKER_MANIFEST),
    ):
        assert media_type_of(json.dumps(value).encode(), "it") == kind
    for value in ({"schemaVersion": 1, "fsLayers": []}, {}, {**manifest, "mediaType": "application/x-other"}):
        with pytest.raises(DocumentInvalid):
            media_type_of(json.dumps(value).encode(), "it")


WHOLE = {
    "schemaVersion": 2,
    "mediaType": mediatypes.OCI_MANIFEST,
    "config": {**CONFIG.to_json(), "urls": ["u"], "annotations": {"a": "b"}, "data": "e30="},
    "layers": [{**CONFIG.to_json(), "platform": {"os": "linux", "architecture": "arm", "variant": "v7"}}],
    "annotations": {"a": "b"},
    "subject": CONFIG.to_json(),
    "artifactType": "x",
}
SEVERAL = {
    "schemaVersion": 2,
    "manifests": [{**CONFIG.to_json(), "platform": {"os": "linux", "architecture": "arm64", "os.features": ["x"]}}],
    "annotations": {},
}
SAID = {
    "os": "linux",
    "architecture": "arm",
    "variant": "v6",
    "created": "2020-01-01T00:00:00Z",
    "config": {"Env": ["A=1"], "Cmd": ["x"], "Labels": {"a": "b"}},
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]},
    "history": [{"created_by": "x", "empty_layer": True}],
}
STRANGE: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 1.5, "", "x", [], {}, [1], ["x"], {"a": 1}, [[]], [{}], 2**70]
)


def places(value: Any) -> list[list[Any]]:
    """The path of every value inside a document."""
    found: list[list[Any]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in items:
        found += [[key], *([key, *rest] for rest in places(below))]
    return found


@given(st.data(), st.sampled_from([(WHOLE, "manifest"), (SEVERAL, "index"), (SAID, "config")]))
@settings(max_examples=400)
def test_nothing_but_our_own_errors_comes_of_strange_documents(data: st.DataObject, kind: tuple[Any, str]) -> None:
    value = copy.deepcopy(kind[0])
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from(places(value)))
        at = value
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = copy.deepcopy(data.draw(STRANGE))
    raw = json.dumps(value).encode()
    try:
        if kind[1] == "manifest":
            Manifest.parse(raw, mediatypes.OCI_MANIFEST)
        elif kind[1] == "index":
            Index.parse(raw, mediatypes.OCI_INDEX)
        else:
            ImageConfig.parse(raw)
    except (DocumentInvalid, DigestInvalid):
        pass


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [(0, "12:00:00Z"), (644460, "12:00:00.64446Z"), (100000, "12:00:00.1Z"), (1, "12:00:00.000001Z")],
)
def test_a_moment_is_written_as_docker_does(microseconds: int, text: str) -> None:
    assert timestamp(datetime(2026, 1, 2, 12, 0, 0, microseconds, UTC)) == f"2026-01-02T{text}"


def test_halves_of_characters_are_read_as_go_reads_them() -> None:
    raw = rb'{"a": "\ud83d\ude00 \uD800x", "\udfff": ["\udead", 1, null], "b": "\\ud800"}'
    assert decode(raw, "x") == {"a": "\U0001f600 \ufffdx", "\ufffd": ["\ufffd", 1, None], "b": "\\ud800"}
    with pytest.raises(DocumentInvalid, match="not a JSON object"):
        decode(rb'"\ud800"', "x")

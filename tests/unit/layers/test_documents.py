"""Documents keep their bytes, and what is two things at once is refused."""

import json

import pytest

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
    mediatypes,
)

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

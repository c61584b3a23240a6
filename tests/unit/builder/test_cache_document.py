"""The cache manifest: what is written can be read, and what is no cache is refused with a word."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.sharing.document import (
    CONFIG,
    Document,
    MountData,
    Result,
    build,
    inline,
    is_buildkit,
    parse,
    parse_inline,
)
from layers import Descriptor, Digest, ImageConfig, LayerError, Manifest, Platform
from layers.oci.documents import encode

DIGESTS = st.binary(min_size=1, max_size=8).map(Digest.of)
NUMBERS = st.integers(0, (1 << 63) - 1)
RESULTS = st.builds(
    Result,
    st.binary(max_size=8).map(lambda data: f"step:{Digest.of(data).hex}"),
    DIGESTS,
    NUMBERS,
    st.just("2026-01-02T03:04:05.678Z"),
    st.floats(0, 1e9),
    st.text(max_size=20).filter(lambda text: text.isprintable()),
    NUMBERS,
)
MOUNTS = st.builds(
    MountData,
    DIGESTS.map(lambda digest: digest.hex),
    st.text("ab/ü", max_size=9),
    DIGESTS,
    st.integers(0, 0o7777),
    st.integers(0, 0xFFFFFFFE),
    st.integers(0, 0xFFFFFFFE),
)
ONE = Digest.of(b"1")


def layer(digest: Digest) -> Descriptor:
    return Descriptor("application/vnd.oci.image.layer.v1.tar+gzip", digest, 1)


@given(st.lists(RESULTS, max_size=9), st.lists(MOUNTS, max_size=3), st.lists(DIGESTS, max_size=3))
def test_what_is_written_is_what_is_read(results: list[Result], mounts: list[MountData], facts: list[Digest]) -> None:
    written = Document(
        {one.key: one for one in results},
        {digest: layer(digest) for digest in [*(one.diff_id for one in results), *(one.diff_id for one in mounts)]},
        {f"selected:{digest.hex}": digest.hex for digest in facts},
        {one.key: one for one in mounts},
    )
    config, manifest = build(written)
    assert parse(config, Manifest.parse(manifest.raw, manifest.media_type)) == written


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"version": None},
        {"records": None},
        {"records": [1]},
        {"records": [{"key": "step:x", "diffID": str(ONE), "size": 1, "created": "2026-01-01T00:00:00Z"}]},
        {"records": [{"key": f"step:{ONE.hex}", "diffID": str(ONE), "size": 1, "created": "now"}]},
        {"records": [{"key": f"step:{ONE.hex}", "diffID": str(ONE), "size": -1, "created": "2026-01-01T00:00:00Z"}]},
        {"records": [{"key": f"step:{ONE.hex}", "diffID": "x", "size": 1, "created": "2026-01-01T00:00:00Z"}]},
        {"diffIDs": []},
        {"diffIDs": ["md5:1"]},
        {"facts": {f"mounted:{ONE.hex}": ONE.hex}},
        {"facts": {f"selected:{ONE.hex}": "../../etc/passwd"}},
        {"mounts": [{"key": "../x", "name": "x", "diffID": str(ONE), "mode": 0, "owner": [0, 0]}]},
        {"mounts": [{"key": ONE.hex, "name": "x", "diffID": str(ONE), "mode": 1 << 40, "owner": [0, 0]}]},
        {"mounts": [{"key": ONE.hex, "name": "x", "diffID": str(ONE), "mode": 0, "owner": [0, 1 << 33]}]},
        {"mounts": [{"key": ONE.hex, "name": "x" * 501, "diffID": str(ONE), "mode": 0, "owner": [0, 0]}]},
    ],
    ids=str,
)
def test_what_is_no_cache_is_refused(change: dict[str, Any]) -> None:
    config, manifest = build(Document({}, {ONE: layer(ONE)}))
    with pytest.raises(LayerError):
        parse(json.dumps({**json.loads(config), **change}).encode(), manifest)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["version", "diffIDs", "records", "facts", "mounts"]), JSON))
def test_no_text_is_worse_than_refused(change: dict[str, Any]) -> None:
    config, manifest = build(Document({}, {ONE: layer(ONE)}))
    try:
        parse(json.dumps({**json.loads(config), **change}).encode(), manifest)
    except LayerError as error:
        assert str(error)


def test_a_record_of_a_layer_that_is_not_there_does_not_count() -> None:
    config, manifest = build(Document({"x": Result(f"step:{ONE.hex}", Digest.of(b"2"), 1, "2026-01-01T00:00:00Z")}, {}))
    assert parse(config, manifest).results == {}


def image(*diff_ids: Digest) -> ImageConfig:
    return ImageConfig.build(platform=Platform.host(), diff_ids=diff_ids, history=(), runtime={}, created=None)


def test_an_image_carries_records_of_its_layers() -> None:
    config = image(ONE, Digest.of(b"2"))
    one = Result(f"step:{ONE.hex}", Digest.of(b"2"), 7, "2026-01-01T00:00:00Z")
    layers = [layer(digest) for digest in config.diff_ids]
    found = parse_inline(inline(config, [(1, one)]), layers)
    assert found is not None and found.results == {one.key: one}
    assert found.layers[Digest.of(b"2")] == layers[1]
    assert parse_inline(config, layers) is None
    with pytest.raises(LayerError):
        parse_inline(inline(config, [(2, one)]), layers)
    with pytest.raises(LayerError):
        parse_inline(inline(config, [(1, one)]), layers[:1])


def test_what_buildkit_writes_is_told_from_ours() -> None:
    theirs = Manifest.build(Descriptor.of(b"{}", "application/vnd.buildkit.cacheconfig.v0"), ())
    ours = Manifest.build(Descriptor.of(b"{}", CONFIG), ())
    assert is_buildkit(theirs, b"{}") and not is_buildkit(ours, b"{}")
    config = image()
    inlined = ImageConfig.parse(encode({**json.loads(config.raw), "moby.buildkit.cache.v0": "e30="}))
    manifest = Manifest.build(config.descriptor(), ())
    assert is_buildkit(manifest, inlined.raw) and not is_buildkit(manifest, config.raw)

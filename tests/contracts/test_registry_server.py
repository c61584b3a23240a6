"""What a registry promises (OCI distribution-spec 1.1), asked of ours and of Debian's docker-registry.

DIFFERENT says where Debian's (2.8) does something else, and what; such a test has to fail there, so that it stays true.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import pytest

from tests.support.distribution import (
    BINARY,
    CONFIG,
    INDEX,
    LAYER,
    MANIFEST,
    Speaker,
    describe,
    digest_of,
    finishing,
    index_of,
)
from tests.support.peers import need
from tests.support.registry import registry_server
from tests.support.serving import served

DIFFERENT = {
    "test_a_blob_comes_with_the_post": "202: the POST only begins an upload",
    "test_a_digest_that_does_not_fit_the_post": "202: the POST only begins an upload",
    "test_a_manifest_that_is_not_here": "a tag that cannot be one is no path, in words instead of JSON",
    "test_layers_that_stay_elsewhere_may_be_missing": "500 for a place that its configuration does not allow",
    "test_a_manifest_that_is_too_large_is_413": "400",
    "test_a_name_that_is_none": "404, in words instead of JSON",
    "test_a_piece_out_of_order_is_416": "a piece is appended, whatever its range says",
    "test_a_put_out_of_order_is_416": "the rest is appended, whatever its range says",
    "test_a_piece_and_its_length_agree": "what a piece says of itself is not looked at",
    "test_a_range_of_a_piece_that_is_none": "what a piece says of itself is not looked at",
    "test_algorithms_other_than_sha256": "sha256 is all there is",
    "test_a_range_means_nothing_to_head": "206, as to a GET",
    "test_an_index_with_a_subject_is_a_referrer": "no referrers",
    "test_an_unknown_page_size": "ignored",
    "test_deleting_a_tag_leaves_the_others": "tags cannot be deleted",
    "test_errors_of_paths_that_are_none": "words instead of JSON",
    "test_no_tags_were_wanted": "n is ignored",
    "test_referrers": "no referrers",
    "test_referrers_of_nothing": "no referrers",
    "test_referrers_of_what_is_no_digest": "no referrers",
    "test_tags_come_in_pages": "n and last are ignored",
    "test_tags_on_the_way": "no tag parameters",
    "test_the_subject_is_acknowledged": "no referrers",
    "test_a_mount_without_a_source": "202: a mount has to name its source",
}
DIFFERENT_CASES = {
    ("test_a_bad_digest_of_a_blob_is_refused", "sha256"): "such a path is not found, in words instead of JSON",
    ("test_ranges", "bytes=10-"): "416, with a length but without a body",
    ("test_ranges", "bytes=500-600"): "416, with a length but without a body",
    ("test_what_is_no_manifest", "b'{\"schemaVersion\":2}'"): "400 DIGEST_INVALID, of the config that is missing",
    ("test_ranges", "bytes=8-4"): "a range that ends before it begins is ignored, all is sent",
}

repositories = (f"contract/r{number}" for number in itertools.count())


@pytest.fixture(scope="module", params=["pybuild", "docker-registry"])
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry that the tests of this module share, each in repositories of its own."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "pybuild":
        with served(folder / "store") as server:
            yield server.host
    else:
        need("docker-registry")
        with registry_server(folder) as server:
            yield server.host


@pytest.fixture
def say(host: str, request: pytest.FixtureRequest) -> Iterator[Speaker]:
    """A connection and an empty repository."""
    name = request.node.originalname
    if "docker-registry" in request.node.callspec.params.values():
        reason = DIFFERENT.get(name)
        if reason is None:
            case = next((str(value) for key, value in request.node.callspec.params.items() if key != "host"), "")
            reason = DIFFERENT_CASES.get((name, case))
        if reason is not None:
            request.node.add_marker(pytest.mark.xfail(strict=True, reason=reason))
    speaker = Speaker(host, next(repositories))
    yield speaker
    speaker.connection.close()


# -- the base, and names -------------------------------------------------------------------------


def test_this_is_a_registry(say: Speaker) -> None:
    for method in ("GET", "HEAD"):
        reply = say(method, "/v2/")
        assert reply.status == 200
        assert reply.header("Docker-Distribution-API-Version") == "registry/2.0"
    assert reply.body == b""


@pytest.mark.parametrize("path", ["/v2/x/nothing/here", "/v2/x/manifests/a/b", "/v2/x/blobs/", "/v3/"])
def test_errors_of_paths_that_are_none(say: Speaker, path: str) -> None:
    reply = say("GET", path)
    assert reply.status == 404
    assert reply.json["errors"]


@pytest.mark.parametrize(
    "name", ["Upper", "a//b", "a/", "-a", "a..b", "a__-b", "a/../b", "a/%2e%2e/b", "a%00", "x" * 256, "a/_b", "%0aa"]
)
def test_a_name_that_is_none(say: Speaker, name: str) -> None:
    for path in ("manifests/1", f"blobs/{digest_of(b'')}", "tags/list"):
        reply = say("GET", f"/v2/{name}/{path}")
        assert (reply.status, reply.code) == (400, "NAME_INVALID")


@pytest.mark.parametrize(
    "name", ["a", "a.b", "a_b", "a__b", "a---b", "a/b/c", "a.b_c.d/e", "0/1", "manifests/blobs/tags"]
)
def test_names(say: Speaker, name: str) -> None:
    named = Speaker(f"{say.connection.host}:{say.connection.port}", f"{say.repository}/{name}")
    raw = named.image("1")
    assert named("GET", "manifests/1").body == raw
    assert named("GET", "tags/list").json == {"name": named.repository, "tags": ["1"]}


def test_a_method_that_is_none(say: Speaker) -> None:
    assert say("POST", "manifests/1", b"{}").status == 405
    assert say("PATCH", f"blobs/{digest_of(b'')}", b"").status == 405


# -- blobs ---------------------------------------------------------------------------------------


def test_a_blob_that_is_not_here(say: Speaker) -> None:
    missing = digest_of(say.repository.encode())
    for method in ("GET", "HEAD", "DELETE"):
        reply = say(method, f"blobs/{missing}")
        assert reply.status == 404
        assert method == "HEAD" or reply.code == "BLOB_UNKNOWN"


@pytest.mark.parametrize(
    "text", ["sha256:123", "md5:" + "0" * 32, "sha256:" + "A" * 64, "sha256", "sha256:" + "0" * 65]
)
def test_a_bad_digest_of_a_blob_is_refused(say: Speaker, text: str) -> None:
    reply = say("GET", f"blobs/{text}")
    assert (reply.status, reply.code) == (400, "DIGEST_INVALID")


@pytest.mark.parametrize("data", [b"", b"x", b"0123456789" * 100_000], ids=["empty", "byte", "million"])
def test_a_blob_in_one_piece(say: Speaker, data: bytes) -> None:
    digest = digest_of(data)
    reply = say("PUT", finishing(say.start(), digest), data, BINARY)
    assert reply.status == 201
    assert reply.header("Docker-Content-Digest") == digest
    got = say("GET", say.place(reply))
    assert (got.status, got.body) == (200, data)
    assert got.header("Content-Length") == str(len(data))
    assert got.header("Docker-Content-Digest") == digest
    seen = say("HEAD", f"blobs/{digest}")
    assert (seen.status, seen.body, seen.header("Content-Length")) == (200, b"", str(len(data)))
    assert seen.header("Docker-Content-Digest") == digest


def test_a_blob_comes_with_the_post(say: Speaker) -> None:
    data = say.repository.encode()
    for content in (data, b""):
        reply = say("POST", f"blobs/uploads/?digest={digest_of(content)}", content, BINARY)
        assert reply.status == 201
        assert say("GET", say.place(reply)).body == content


def test_a_digest_that_does_not_fit_the_post(say: Speaker) -> None:
    reply = say("POST", f"blobs/uploads/?digest={digest_of(b'other')}", b"this", BINARY)
    assert (reply.status, reply.code) == (400, "DIGEST_INVALID")
    assert say("HEAD", f"blobs/{digest_of(b'this')}").status == 404


def test_a_blob_in_pieces(say: Speaker) -> None:
    data = f"{say.repository} in three pieces".encode()
    place = say.start()
    for start, end in ((0, 5), (5, 10), (10, len(data))):
        reply = say("PATCH", place, data[start:end], {**BINARY, "Content-Range": f"{start}-{end - 1}"})
        assert (reply.status, reply.header("Range")) == (202, f"0-{end - 1}")
        place = say.place(reply)
        state = say("GET", place)
        assert (state.status, state.header("Range"), state.body) == (204, f"0-{end - 1}", b"")
        place = say.place(state)
    reply = say("PUT", finishing(place, digest_of(data)))
    assert reply.status == 201
    assert say("GET", say.place(reply)).body == data


def test_the_last_piece_comes_with_the_put(say: Speaker) -> None:
    data = f"{say.repository} in two pieces".encode()
    reply = say("PATCH", say.start(), data[:9], BINARY)
    headers = {**BINARY, "Content-Range": f"9-{len(data) - 1}"}
    reply = say("PUT", finishing(say.place(reply), digest_of(data)), data[9:], headers)
    assert reply.status == 201
    assert say("GET", f"blobs/{digest_of(data)}").body == data


def test_a_blob_in_chunks_of_http(say: Speaker) -> None:
    pieces = [b"a" * 70_000, b"b", b"c" * 300_000]
    reply = say("PATCH", say.start(), iter(pieces), BINARY)
    assert (reply.status, reply.header("Range")) == (202, "0-370000")
    digest = digest_of(b"".join(pieces))
    assert say("PUT", finishing(say.place(reply), digest)).status == 201
    assert say("GET", f"blobs/{digest}").body == b"".join(pieces)


def test_a_piece_out_of_order_is_416(say: Speaker) -> None:
    data = f"{say.repository} out of order".encode()
    reply = say("PATCH", say.start(), data[:5], {**BINARY, "Content-Range": "0-4"})
    for start, end in ((0, 5), (6, 10)):
        wrong = say("PATCH", say.place(reply), data[start:end], {**BINARY, "Content-Range": f"{start}-{end - 1}"})
        assert (wrong.status, wrong.header("Range")) == (416, "0-4")
    reply = say("PATCH", say.place(wrong), data[5:], {**BINARY, "Content-Range": f"5-{len(data) - 1}"})
    assert say("PUT", finishing(say.place(reply), digest_of(data))).status == 201


def test_a_put_out_of_order_is_416(say: Speaker) -> None:
    reply = say("PATCH", say.start(), b"12345", {**BINARY, "Content-Range": "0-4"})
    url = finishing(say.place(reply), digest_of(b"1234567"))
    wrong = say("PUT", url, b"67", {**BINARY, "Content-Range": "6-7"})
    assert (wrong.status, wrong.header("Range")) == (416, "0-4")
    assert say("PUT", url, b"67", {**BINARY, "Content-Range": "5-6"}).status == 201


def test_a_piece_and_its_length_agree(say: Speaker) -> None:
    place = say.start()
    reply = say("PATCH", place, b"12345", {**BINARY, "Content-Range": "0-9"})
    assert (reply.status, reply.code) == (400, "SIZE_INVALID")
    reply = say("PATCH", place, iter([b"12345"]), {**BINARY, "Content-Range": "0-9"})
    assert (reply.status, reply.code) == (400, "SIZE_INVALID")
    assert say("GET", place).status == 404, "bytes that came too many cannot be taken back"


@pytest.mark.parametrize("text", ["four", "9-4", "0-", "-5"])
def test_a_range_of_a_piece_that_is_none(say: Speaker, text: str) -> None:
    reply = say("PATCH", say.start(), b"12345", {**BINARY, "Content-Range": text})
    assert (reply.status, reply.code) == (400, "BLOB_UPLOAD_INVALID")


def test_a_digest_that_does_not_fit(say: Speaker) -> None:
    data = say.repository.encode()
    reply = say("PUT", finishing(say.start(), digest_of(b"something else")), data, BINARY)
    assert (reply.status, reply.code) == (400, "DIGEST_INVALID")
    assert say("HEAD", f"blobs/{digest_of(data)}").status == 404


def test_the_put_needs_a_digest(say: Speaker) -> None:
    place = say.start()
    reply = say("PUT", place, b"data", BINARY)
    assert (reply.status, reply.code) == (400, "DIGEST_INVALID")


def test_an_upload_that_is_cancelled(say: Speaker) -> None:
    place = say.start()
    reply = say("PATCH", place, b"12345", BINARY)
    place = say.place(reply)
    assert say("DELETE", place).status == 204
    for method, body in (("GET", None), ("PATCH", b"6"), ("DELETE", None)):
        reply = say(method, place, body, BINARY)
        assert (reply.status, reply.code) == (404, "BLOB_UPLOAD_UNKNOWN")


def test_a_mount(say: Speaker) -> None:
    digest = say.blob(say.repository.encode())
    other = Speaker(f"{say.connection.host}:{say.connection.port}", f"{say.repository}/other")
    reply = other("POST", f"blobs/uploads/?mount={digest}&from={say.repository}")
    assert reply.status == 201
    assert other.place(reply) == f"/v2/{other.repository}/blobs/{digest}"
    assert other("GET", f"blobs/{digest}").body == say.repository.encode()


def test_a_mount_without_a_source(say: Speaker) -> None:
    digest = say.blob(say.repository.encode())
    assert say("POST", f"blobs/uploads/?mount={digest}").status == 201


def test_a_mount_of_what_is_not_here_begins_an_upload(say: Speaker) -> None:
    data = f"{say.repository} not here".encode()
    reply = say("POST", f"blobs/uploads/?mount={digest_of(data)}&from={say.repository}")
    assert reply.status == 202
    assert say("PUT", finishing(say.place(reply), digest_of(data)), data, BINARY).status == 201


DATA = b"0123456789"


@pytest.mark.parametrize(
    ("asked", "status", "body", "told"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=4-", 206, b"456789", "bytes 4-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=-30", 206, DATA, "bytes 0-9/10"),
        ("bytes=8-400", 206, b"89", "bytes 8-9/10"),
        ("bytes=9-9", 206, b"9", "bytes 9-9/10"),
        ("bytes=10-", 416, None, "bytes */10"),
        ("bytes=500-600", 416, None, "bytes */10"),
        ("bytes=8-4", 416, None, "bytes */10"),
    ],
)
def test_ranges(say: Speaker, asked: str, status: int, body: bytes | None, told: str) -> None:
    digest = say.blob(DATA)
    reply = say("GET", f"blobs/{digest}", headers={"Range": asked})
    assert (reply.status, reply.header("Content-Range")) == (status, told)
    assert body is None or reply.body == body


def test_ranges_that_are_none_get_everything(say: Speaker) -> None:
    digest = say.blob(DATA)
    etag = say("HEAD", f"blobs/{digest}").header("ETag")
    for asked in ({}, {"Range": "bytes=0-3", "If-Range": '"another"'}):
        reply = say("GET", f"blobs/{digest}", headers=asked)
        assert (reply.status, reply.body) == (200, DATA)
    assert say("GET", f"blobs/{digest}", headers={"Range": "bytes=0-3", "If-Range": etag}).body == b"0123"


def test_a_range_means_nothing_to_head(say: Speaker) -> None:
    reply = say("HEAD", f"blobs/{say.blob(DATA)}", headers={"Range": "bytes=0-3"})
    assert (reply.status, reply.header("Content-Length")) == (200, "10")


def test_what_has_not_changed(say: Speaker) -> None:
    say.image("1")
    for path in (f"blobs/{say.blob(DATA)}", "manifests/1"):
        etag = say("GET", path).header("ETag")
        reply = say("GET", path, headers={"If-None-Match": etag})
        assert (reply.status, reply.body) == (304, b"")


def test_a_blob_is_deleted(say: Speaker) -> None:
    digest = say.blob(say.repository.encode())
    assert say("DELETE", f"blobs/{digest}").status == 202
    assert say("GET", f"blobs/{digest}").status == 404
    assert say.blob(say.repository.encode()) == digest
    assert say("GET", f"blobs/{digest}").status == 200


# -- manifests -----------------------------------------------------------------------------------


def test_a_manifest(say: Speaker) -> None:
    raw = say.artifact("manifest", **{"org.example.unknown": {"kept": [1, 2.50, "ü"]}})
    put = say.manifest(raw, "1.0")
    assert put.status == 201
    assert put.header("Docker-Content-Digest") == digest_of(raw)
    assert say("GET", say.place(put)).body == raw
    for name in ("1.0", digest_of(raw)):
        for method in ("GET", "HEAD"):
            reply = say(method, f"manifests/{name}")
            assert reply.status == 200
            assert reply.header("Content-Type") == MANIFEST
            assert reply.header("Content-Length") == str(len(raw))
            assert reply.header("Docker-Content-Digest") == digest_of(raw)
            assert reply.body == (raw if method == "GET" else b"")


def test_a_manifest_by_its_digest_alone(say: Speaker) -> None:
    raw = say.artifact("by digest")
    assert say.manifest(raw, digest_of(raw)).status == 201
    assert say("GET", f"manifests/{digest_of(raw)}").body == raw
    assert not say("GET", "tags/list").json.get("tags")


def test_a_manifest_may_be_sent_in_chunks(say: Speaker) -> None:
    raw = say.artifact("chunks")
    assert say("PUT", "manifests/1", iter([raw[:9], raw[9:]]), {"Content-Type": MANIFEST}).status == 201


def test_a_manifest_that_is_not_here(say: Speaker) -> None:
    say.image("1")
    for name in ("2", digest_of(b"nothing"), "." * 3, "x" * 129):
        reply = say("GET", f"manifests/{name}")
        assert (reply.status, reply.code) == (404, "MANIFEST_UNKNOWN"), name
        assert say("HEAD", f"manifests/{name}").status == 404


def test_a_manifest_of_another_repository_is_not_here(say: Speaker) -> None:
    raw = say.image("1")
    other = Speaker(f"{say.connection.host}:{say.connection.port}", f"{say.repository}/other")
    assert other("GET", f"manifests/{digest_of(raw)}").status == 404


def test_a_digest_that_does_not_fit_the_manifest(say: Speaker) -> None:
    raw = say.artifact("fits")
    reply = say.manifest(raw, digest_of(b"another"))
    assert (reply.status, reply.code) == (400, "DIGEST_INVALID")


@pytest.mark.parametrize("missing", ["config", "layers"])
def test_blobs_come_before_their_manifest(say: Speaker, missing: str) -> None:
    value = json.loads(say.artifact("before"))
    lost = describe(f"{say.repository} never pushed".encode(), CONFIG)
    value[missing] = lost if missing == "config" else [lost]
    reply = say.manifest(json.dumps(value).encode(), "1")
    assert (reply.status, reply.code) == (400, "MANIFEST_BLOB_UNKNOWN")
    assert say("GET", "manifests/1").status == 404


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{", b"\xff{}", b'{"schemaVersion":2}', b'{"schemaVersion":2,"layers":3}'], ids=repr
)
def test_what_is_no_manifest(say: Speaker, raw: bytes) -> None:
    reply = say.manifest(raw, "1")
    assert (reply.status, reply.code) == (400, "MANIFEST_INVALID")


def test_a_manifest_is_of_one_kind(say: Speaker) -> None:
    value = json.loads(say.artifact("kinds"))
    both = json.dumps({**value, "manifests": []}).encode()
    assert say.manifest(both, "1").status == 400
    assert say.manifest(json.dumps(value).encode(), "1", INDEX).status == 400


def test_unknown_media_types_are_refused(say: Speaker) -> None:
    raw = say.artifact("types")
    for kind in ("application/json", "text/plain", "application/vnd.docker.distribution.manifest.v1+prettyjws"):
        reply = say.manifest(raw, "1", kind)
        assert (reply.status, reply.code) == (400, "MANIFEST_INVALID")


@pytest.mark.parametrize("tag", ["-a", ".a", "a" * 129, "a b", "a%2Fb"])
def test_a_tag_that_is_none(say: Speaker, tag: str) -> None:
    reply = say("PUT", f"manifests/{tag.replace(' ', '%20')}", say.artifact("tag"), {"Content-Type": MANIFEST})
    assert reply.status in (400, 404, 405)


def test_a_manifest_that_is_too_large_is_413(say: Speaker) -> None:
    value = json.loads(say.artifact("large"))
    room = (4 << 20) - len(json.dumps({**value, "annotations": {"fill": ""}}).encode())
    for more, status in ((0, 201), (1, 413)):
        raw = json.dumps({**value, "annotations": {"fill": "x" * (room + more)}}).encode()
        assert say.manifest(raw, "1").status == status


def test_layers_that_stay_elsewhere_may_be_missing(say: Speaker) -> None:
    kind = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    value = json.loads(say.artifact("elsewhere"))
    value["layers"].append(describe(b"elsewhere", kind, urls=["https://example.org/layer"]))
    assert say.manifest(json.dumps(value).encode(), "1").status == 201


def test_layers_that_are_no_tars_are_kept(say: Speaker) -> None:
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}).encode()
    say.blob(config)
    say.blob(b"no tar")
    value = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": describe(config, CONFIG),
        "layers": [describe(b"no tar", LAYER)],
    }
    raw = json.dumps(value).encode()
    assert say.manifest(raw, "1").status == 201
    assert say("GET", "manifests/1").body == raw


def test_an_index(say: Speaker) -> None:
    children = [say.artifact(f"child {number}") for number in range(2)]
    platforms = [{"os": "linux", "architecture": "amd64"}, {"os": "linux", "architecture": "arm64"}]
    entries = [describe(raw, MANIFEST, platform=one) for raw, one in zip(children, platforms, strict=True)]
    raw = index_of(*entries, annotations={"a": "b"})
    early = say.manifest(raw, "all", INDEX)
    assert (early.status, early.code) == (400, "MANIFEST_BLOB_UNKNOWN")
    for child in children:
        assert say.manifest(child, digest_of(child)).status == 201
    assert say.manifest(raw, "all", INDEX).status == 201
    outer = index_of(describe(raw, INDEX))
    assert say.manifest(outer, "outer", INDEX).status == 201
    for name, body in (("all", raw), (digest_of(raw), raw), ("outer", outer)):
        reply = say("GET", f"manifests/{name}")
        assert (reply.header("Content-Type"), reply.body) == (INDEX, body)


def test_algorithms_other_than_sha256(say: Speaker) -> None:
    data = say.repository.encode()
    digest = say.blob(data, "sha512")
    assert say("GET", f"blobs/{digest}").body == data
    late = digest_of(b"late", "sha512")
    assert say("PUT", finishing(say.start(), late), b"late", BINARY).status == 201
    assert say("GET", f"blobs/{late}").header("Docker-Content-Digest") == late
    say.blob(b"{}")
    value = json.loads(say.artifact("sha512"))
    value["layers"] = [describe(data, "text/plain", "sha512")]
    raw = json.dumps(value).encode()
    put = say("PUT", f"manifests/{digest_of(raw, 'sha512')}?tag=long", raw, {"Content-Type": MANIFEST})
    assert (put.status, put.header("Docker-Content-Digest")) == (201, digest_of(raw, "sha512"))
    for name in ("long", digest_of(raw, "sha512")):
        reply = say("GET", f"manifests/{name}")
        assert (reply.body, reply.header("Docker-Content-Digest")) == (raw, digest_of(raw, "sha512"))
    assert say("POST", "blobs/uploads/?digest-algorithm=md5").code == "DIGEST_INVALID"


def test_a_tag_moves(say: Speaker) -> None:
    first, second = say.image("latest", "first"), say.image("latest", "second")
    assert say("GET", "manifests/latest").body == second
    assert say("GET", f"manifests/{digest_of(first)}").body == first


def test_tags_on_the_way(say: Speaker) -> None:
    raw = say.artifact("on the way")
    reply = say("PUT", f"manifests/{digest_of(raw)}?tag=one&tag=two", raw, {"Content-Type": MANIFEST})
    assert (reply.status, reply.headers["oci-tag"]) == (201, ["one", "two"])
    assert say("GET", "tags/list").json["tags"] == ["one", "two"]
    wrong = say("PUT", f"manifests/{digest_of(raw)}?tag=three&tag=.four", raw, {"Content-Type": MANIFEST})
    assert wrong.status == 400
    assert say("GET", "manifests/three").status == 404


def test_deleting_a_tag_leaves_the_others(say: Speaker) -> None:
    raw = say.image("one")
    say.manifest(raw, "two")
    assert say("DELETE", "manifests/one").status == 202
    assert say("GET", "manifests/one").code == "MANIFEST_UNKNOWN"
    assert say("DELETE", "manifests/one").status == 404
    assert say("GET", "manifests/two").body == raw


def test_deleting_a_manifest_takes_its_tags(say: Speaker) -> None:
    raw = say.image("one")
    say.manifest(raw, "two")
    assert say("DELETE", f"manifests/{digest_of(raw)}").status == 202
    for name in ("one", "two", digest_of(raw)):
        reply = say("GET", f"manifests/{name}")
        assert (reply.status, reply.code) == (404, "MANIFEST_UNKNOWN")
    assert say("DELETE", f"manifests/{digest_of(raw)}").status == 404
    assert say.manifest(raw, "one").status == 201
    assert say("GET", "manifests/one").status == 200


# -- lists ---------------------------------------------------------------------------------------


def test_tags_of_nothing(say: Speaker) -> None:
    reply = say("GET", "tags/list")
    assert (reply.status, reply.code) == (404, "NAME_UNKNOWN")


def test_tags(say: Speaker) -> None:
    raw = say.image("b")
    for tag in ("a", "B", "_", "1.0", "c-1"):
        say.manifest(raw, tag)
    reply = say("GET", "tags/list")
    assert reply.header("Content-Type").partition(";")[0] == "application/json"
    assert reply.json["name"] == say.repository
    assert sorted(reply.json["tags"]) == ["1.0", "B", "_", "a", "b", "c-1"]


def test_tags_come_in_pages(say: Speaker) -> None:
    raw = say.image("t0")
    for number in range(1, 5):
        say.manifest(raw, f"t{number}")
    seen, path = [], "tags/list?n=2"
    pages = 0
    while path:
        reply = say("GET", path)
        assert len(reply.json["tags"]) <= 2
        seen += reply.json["tags"]
        pages += 1
        link = reply.headers.get("link", [""])[0]
        assert not link or link.endswith('; rel="next"')
        path = link[1 : link.find(">")] if link else ""
    assert (seen, pages) == ([f"t{number}" for number in range(5)], 3)
    assert say("GET", "tags/list?last=t2").json["tags"] == ["t3", "t4"]
    assert say("GET", "tags/list?n=1&last=t2x").json["tags"] == ["t3"]
    assert say("GET", "tags/list?last=zz").json["tags"] == []


def test_no_tags_were_wanted(say: Speaker) -> None:
    say.image("1")
    reply = say("GET", "tags/list?n=0")
    assert (reply.json["tags"], reply.headers.get("link")) == ([], None)


@pytest.mark.parametrize("number", ["-1", "x", "1.5", ""])
def test_an_unknown_page_size(say: Speaker, number: str) -> None:
    say.image("1")
    reply = say("GET", f"tags/list?n={number}")
    assert (reply.status, reply.code) == (400, "PAGINATION_NUMBER_INVALID")


def test_the_catalog(say: Speaker) -> None:
    say.image("1")
    assert say.repository in say("GET", "/v2/_catalog").json["repositories"]
    before = say.repository[:-1]
    reply = say("GET", f"/v2/_catalog?n=1&last={before}")
    assert len(reply.json["repositories"]) == 1
    assert reply.json["repositories"][0] > before


# -- referrers -----------------------------------------------------------------------------------


def test_the_subject_is_acknowledged(say: Speaker) -> None:
    subject = describe(b"not here, and need not be", MANIFEST)
    raw = say.artifact("dangling", subject=subject)
    assert say.manifest(raw, digest_of(raw)).header("OCI-Subject") == subject["digest"]
    assert [entry["digest"] for entry in say("GET", f"referrers/{subject['digest']}").json["manifests"]] == [
        digest_of(raw)
    ]


def test_a_subject_that_is_not_here_is_taken(say: Speaker) -> None:
    raw = say.artifact("dangling", subject=describe(b"not here, and need not be", MANIFEST))
    assert say.manifest(raw, digest_of(raw)).status == 201


def test_referrers(say: Speaker) -> None:
    image = say.image("1")
    subject = describe(image, MANIFEST)
    plain = say.image("plain", subject=subject)
    signed = say.image("signed", subject=subject, artifactType="example/sig", annotations={"by": "me"})
    listed = say("GET", f"referrers/{digest_of(image)}")
    assert (listed.status, listed.header("Content-Type")) == (200, INDEX)
    assert (listed.json["schemaVersion"], listed.json["mediaType"]) == (2, INDEX)
    found = {entry["digest"]: entry for entry in listed.json["manifests"]}
    assert found == {
        digest_of(plain): describe(plain, MANIFEST, artifactType="application/vnd.oci.empty.v1+json"),
        digest_of(signed): describe(signed, MANIFEST, artifactType="example/sig", annotations={"by": "me"}),
    }
    some = say("GET", f"referrers/{digest_of(image)}?artifactType=example/sig")
    assert some.header("OCI-Filters-Applied") == "artifactType"
    assert [entry["digest"] for entry in some.json["manifests"]] == [digest_of(signed)]
    assert say("GET", f"referrers/{digest_of(image)}?artifactType=other").json["manifests"] == []
    say("DELETE", f"manifests/{digest_of(plain)}")
    assert len(say("GET", f"referrers/{digest_of(image)}").json["manifests"]) == 1


def test_an_index_with_a_subject_is_a_referrer(say: Speaker) -> None:
    image = say.image("1")
    raw = index_of(describe(image, MANIFEST), subject=describe(image, MANIFEST), artifactType="example/set")
    put = say.manifest(raw, digest_of(raw), INDEX)
    assert put.header("OCI-Subject") == digest_of(image)
    listed = say("GET", f"referrers/{digest_of(image)}").json["manifests"]
    assert listed == [describe(raw, INDEX, artifactType="example/set")]


def test_referrers_of_nothing(say: Speaker) -> None:
    reply = say("GET", f"referrers/{digest_of(b'nothing')}")
    assert (reply.status, reply.json["manifests"]) == (200, [])


def test_referrers_of_what_is_no_digest(say: Speaker) -> None:
    assert say("GET", "referrers/sha256:0").code == "DIGEST_INVALID"


# -- several requests on one connection ----------------------------------------------------------


def test_an_error_does_not_poison_what_follows(say: Speaker) -> None:
    for body in (b"x" * 1000, b"y" * 200_000, b"z" * 3_000_000):
        assert say("PUT", "blobs/uploads/unknown?digest=" + digest_of(body), body).status in (400, 404)
        assert say("GET", "/v2/").status == 200

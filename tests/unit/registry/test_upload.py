"""Uploads whole and in chunks, through cuts, lost answers, lost sessions and odd Locations."""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from layers import BlobMismatch, Descriptor
from registry.errors import NotFound, ProtocolViolation, RateLimited, RegistryError, Unavailable
from tests.support.quick import named, noise, quick, repository, stream
from tests.support.rude import FOREVER, Ask, Reply, Rude, mistake, rude

DATA = noise(1 << 20)
WANTED = named(DATA)
NAME = str(WANTED.digest)
START = "/blobs/uploads/$"
SESSION = "/blobs/uploads/u"


@pytest.fixture
def server() -> Iterator[Rude]:
    with rude() as server:
        yield server


def methods(server: Rude) -> str:
    """What was asked, a letter for each: Post, pUt, pAtch, Get, Head, Delete."""
    letters = {"POST": "P", "PUT": "U", "PATCH": "A", "GET": "G", "HEAD": "H", "DELETE": "D"}
    return "".join(letters[ask.method] for ask in server.asked())


def lost(server: Rude) -> object:
    """Do it, and say nothing."""

    def act(ask: Ask) -> Reply:
        server.honest(ask)
        return Reply(silent=True)

    return act


@pytest.mark.parametrize("once", [False, True])
def test_whole(server: Rude, once: bool) -> None:
    repository(server).put(WANTED, stream(DATA, once=once))
    assert server.blobs[NAME] == DATA
    assert methods(server) == "PU"
    assert server.asked("PUT")[0].headers["content-length"] == str(len(DATA))


@pytest.mark.parametrize("once", [False, True])
def test_in_chunks_when_the_registry_says_so(server: Rude, once: bool) -> None:
    server.chunk_least = 300_000
    repository(server, chunk=1000).put(WANTED, stream(DATA, once=once))
    assert server.blobs[NAME] == DATA
    assert methods(server) == "PAAAAU"
    ranges = [ask.headers["content-range"] for ask in server.asked("PATCH")]
    assert ranges == ["0-299999", "300000-599999", "600000-899999", "900000-1048575"]
    assert [ask.query for ask in server.asked("PATCH")][:2] == ["state=0", "state=300000"], "the newest Location"
    assert server.asked("PUT")[0].headers["content-length"] == "0"


def test_in_chunks_when_it_is_too_large_for_one_request(server: Rude) -> None:
    repository(server, whole=500_000, chunk=400_000).put(WANTED, stream(DATA))
    assert (server.blobs[NAME], methods(server)) == (DATA, "PAAAU")


def test_an_empty_blob(server: Rude) -> None:
    repository(server).put(named(b""), stream(b""))
    assert methods(server) == "PU"
    server.chunk_least = 10
    server.blobs.clear()
    repository(server).put(named(b""), stream(b""))
    assert str(named(b"").digest) in server.blobs


def test_another_algorithm_is_announced(server: Rude) -> None:
    wanted = named(DATA, algorithm="sha512")
    repository(server).put(wanted, stream(DATA))
    assert server.asked("POST")[0].query == "digest-algorithm=sha512"
    assert server.blobs[str(wanted.digest)] == DATA


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408])
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_failure_that_passes_costs_one_request(server: Rude, method: str, status: int) -> None:
    server.rule(method, "/blobs/", mistake(status, "UNKNOWN"))
    repository(server).put(WANTED, stream(DATA))
    assert server.blobs[NAME] == DATA
    assert sorted(methods(server)) == sorted({"POST": "PPU", "PUT": "PUU"}[method])


def test_a_lost_answer_to_the_end_is_looked_into_and_nothing_is_sent_again(server: Rude) -> None:
    server.rule("PUT", SESSION, lost(server))  # type: ignore[arg-type]
    repository(server).put(WANTED, stream(DATA))
    assert methods(server) == "PUH"


def test_an_unknown_session_whose_blob_is_there_is_an_upload(server: Rude) -> None:
    def stored(ask: Ask) -> Reply:
        server.honest(ask)
        return mistake(404, "BLOB_UPLOAD_UNKNOWN")

    server.rule("PUT", SESSION, stored)
    repository(server).put(WANTED, stream(DATA))
    assert methods(server) == "PUH"


def test_an_unknown_session_is_begun_anew_once(server: Rude) -> None:
    server.rule("PUT", SESSION, mistake(404, "BLOB_UPLOAD_UNKNOWN"))
    repository(server).put(WANTED, stream(DATA))
    assert methods(server) == "PUHDPU"
    server.blobs.clear()
    server.rule("PUT", SESSION, mistake(404, "BLOB_UPLOAD_UNKNOWN"), FOREVER)
    with pytest.raises(NotFound, match="BLOB_UPLOAD_UNKNOWN"):
        repository(server).put(WANTED, stream(DATA))
    assert methods(server) == "PUHDPUPUHDPUHD"


def test_a_cut_in_the_middle_goes_on_where_the_registry_is(server: Rude) -> None:
    server.rule("PUT", SESSION, Reply(take=700_000))
    repository(server).put(WANTED, stream(DATA))
    assert server.blobs[NAME] == DATA
    assert methods(server) == "PUHGAU"
    assert server.asked("PATCH")[0].headers["content-range"] == f"700000-{len(DATA) - 1}"


def test_a_cut_that_the_registry_forgot_is_begun_anew(server: Rude) -> None:
    server.rule("PUT", SESSION, Reply(take=700_000))
    server.rule("GET", SESSION, mistake(404, "BLOB_UPLOAD_UNKNOWN"))
    repository(server).put(WANTED, stream(DATA))
    assert server.blobs[NAME] == DATA
    assert methods(server) == "PUHGDPU"


def test_what_comes_once_cannot_be_sent_twice(server: Rude) -> None:
    server.rule("PUT", SESSION, Reply(take=700_000))
    with pytest.raises(Unavailable):
        repository(server).put(WANTED, stream(DATA, once=True))
    assert server.blobs == {}
    assert server.uploads == {}, "it was cancelled"


def test_a_chunk_that_was_cut_goes_on_within_itself(server: Rude) -> None:
    server.chunk_least = 400_000
    server.rule("PATCH", "state=|uploads/u", Reply(take=123_456))
    repository(server, chunk=1).put(WANTED, stream(DATA))
    assert server.blobs[NAME] == DATA
    assert [ask.headers["content-range"] for ask in server.asked("PATCH")][1].startswith("123456-")


def test_a_chunk_out_of_order_is_asked_about(server: Rude) -> None:
    server.chunk_least = 400_000
    server.rule("PATCH", SESSION, lambda ask: replace(server.honest(ask), status=416))
    repository(server, chunk=1).put(WANTED, stream(DATA))
    assert server.blobs[NAME] == DATA
    assert methods(server) == "PAGAAU"


def test_a_registry_that_appends_what_it_had_is_noticed(server: Rude) -> None:
    """docker-registry 2.8.2 ignores Content-Range: a chunk sent twice is there twice, and only Range tells."""
    server.chunk_least = 400_000
    server.rule("PATCH", SESSION, lambda ask: replace(server.honest(ask), headers={"Range": "0-799999"}))
    repository(server, chunk=1).put(WANTED, stream(DATA))
    assert server.blobs[NAME] == DATA
    assert methods(server) == "PAHDPAAAU"


def test_a_registry_that_keeps_nothing_is_given_up(server: Rude) -> None:
    server.chunk_least = 400_000
    server.rule("PATCH", SESSION, Reply(202, {"Range": "0-0"}), FOREVER)
    with pytest.raises(Unavailable, match="keeps nothing after byte 0"):
        repository(server, chunk=1).put(WANTED, stream(DATA))
    assert methods(server).count("A") == 8


@pytest.mark.parametrize(
    "query", ["", "?a=&b=1&b=2&c=%2B%2F%7E~&d", "?_state=x%3D%3D&next=%2Fv2%2F"], ids=["none", "odd", "quoted"]
)
def test_the_query_of_a_location_is_used_byte_for_byte(server: Rude, query: str) -> None:
    server.rule("POST", START, lambda ask: Reply(202, {"Location": f"../../../../up/here{query}"}))
    server.rule("PUT", "/up/here", Reply(201))
    repository(server).put(WANTED, stream(DATA))
    joint = "&" if query else ""
    assert server.asked("PUT")[0].query == f"{query[1:]}{joint}digest={NAME.replace(':', '%3A')}"


def test_a_location_on_another_host_gets_the_bytes_but_no_credentials(server: Rude) -> None:
    with rude() as storage:
        storage.rule("PUT", "/bucket", Reply(201))
        server.rule("POST", START, Reply(202, {"Location": f"{storage.url}/bucket?signed=1"}))
        remote = repository(server, quick(environment={"DOCKER_AUTH_CONFIG": auth(server.host)}))
        server.rule("GET", "^/v2/$", Reply(401, {"WWW-Authenticate": 'Basic realm="here"'}))
        remote.put(WANTED, stream(DATA))
        assert server.asked("POST")[0].headers["authorization"].startswith("Basic ")
        assert "authorization" not in storage.seen[0].headers
        assert storage.seen[0].body == DATA


def test_a_redirected_put_is_sent_whole_once_more(server: Rude) -> None:
    with rude() as storage:
        storage.rule("PUT", "/bucket", Reply(201))
        server.rule("PUT", SESSION, Reply(307, {"Location": f"{storage.url}/bucket"}))
        repository(server).put(WANTED, stream(DATA))
        assert storage.seen[0].body == DATA
        server.rule("PUT", SESSION, Reply(307, {"Location": f"{storage.url}/bucket"}))
        with pytest.raises(ProtocolViolation, match="redirects what cannot be sent twice"):
            repository(server).put(WANTED, stream(DATA, once=True))


def auth(host: str) -> str:
    return json.dumps({"auths": {host: {"username": "ada", "password": "secret"}}})


@pytest.mark.parametrize("location", ["", "ftp://example.org/x", "http://169.254.169.254/latest", "http://u:p@a/"])
def test_a_location_where_nothing_should_be_sent(server: Rude, location: str) -> None:
    headers = {"Location": location} if location else {}
    server.rule("POST", START, Reply(202, headers), FOREVER)
    with pytest.raises(ProtocolViolation):
        repository(server).put(WANTED, stream(DATA))
    assert methods(server) == "P"


def test_too_large_is_explained(server: Rude) -> None:
    server.rule("PUT", SESSION, Reply(413, body=b"<html>nginx</html>"))
    with pytest.raises(ProtocolViolation, match=r"HTTP 413.*proxy.*limits the size of one request"):
        repository(server).put(WANTED, stream(DATA))
    assert methods(server) == "PUD"


def test_the_rate_limit_is_waited_for_and_then_named(server: Rude) -> None:
    server.rule("PUT", SESSION, Reply(429, {"Retry-After": "0"}))
    repository(server).put(WANTED, stream(DATA))
    assert methods(server) == "PUU"
    server.rule("POST", START, mistake(429, "TOOMANYREQUESTS"), FOREVER)
    with pytest.raises(RateLimited, match=r"TOOMANYREQUESTS.*log in"):
        repository(server).put(WANTED, stream(DATA))


def test_another_digest_is_refused(server: Rude) -> None:
    with pytest.raises(ProtocolViolation, match="DIGEST_INVALID"):
        repository(server).put(Descriptor(WANTED.media_type, named(b"x").digest, WANTED.size), stream(DATA))
    server.rule("PUT", SESSION, Reply(201, {"Docker-Content-Digest": "sha256:" + "0" * 64}))
    with pytest.raises(ProtocolViolation, match=r"stored sha256:.* as sha256:0000"):
        repository(server).put(WANTED, stream(DATA))


def test_a_source_with_too_few_bytes(server: Rude) -> None:
    with pytest.raises(BlobMismatch, match="should be 1048576 bytes, but 1000 bytes came"):
        repository(server).put(WANTED, stream(DATA[:1000]))
    assert server.blobs == {}


@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_a_mount_that_fails_is_no_error(server: Rude, status: int) -> None:
    server.rule("POST", START, mistake(status, "DENIED"))
    assert repository(server).mount_from(WANTED, "other") is False
    assert methods(server) == "P"


def test_mounts(server: Rude) -> None:
    server.blob(DATA)
    assert repository(server).mount_from(WANTED, "other")
    assert server.asked("POST")[0].parameters == {"mount": [NAME], "from": ["other"]}
    assert not repository(server).mount_from(named(b"not there"), "other")
    assert (methods(server), server.uploads) == ("PPD", {}), "the session that was begun instead is cancelled"


@pytest.mark.parametrize("code", ["MANIFEST_BLOB_UNKNOWN", "DIGEST_INVALID"])
def test_a_manifest_whose_blobs_the_registry_does_not_see_yet(server: Rude, code: str) -> None:
    from tests.support.quick import CONFIG, LAYER, serve_image

    server.blob(DATA)
    serve_image(server, "1", [named(DATA, LAYER)], b"{}")
    kind, raw = server.manifests["some/app", "1"]
    server.rule("PUT", "/manifests/", mistake(400, code))
    repository(server).put(named(raw, kind), stream(raw))
    assert methods(server) == "UHHU", "every blob is looked for, once"
    del server.blobs[str(named(b"{}", CONFIG).digest)]
    server.rule("PUT", "/manifests/", mistake(404, "MANIFEST_BLOB_UNKNOWN"), FOREVER)
    with pytest.raises(RegistryError, match="lost sha256:44136fa"):
        repository(server).put(named(raw, kind), stream(raw))

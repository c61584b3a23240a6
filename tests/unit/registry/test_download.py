"""What a download makes of servers that cut, stall, lie about lengths and misunderstand ranges."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from layers import BlobMismatch
from layers.oci.descriptor import Descriptor
from registry.errors import NotFound, ProtocolViolation, Unavailable
from registry.remote import RemoteRepository
from tests.support.quick import named, noise, quick, repository
from tests.support.rude import FOREVER, Ask, Reply, Rude, rude

DATA = noise(3 << 20)
BLOB = "/blobs/sha256:"


@pytest.fixture
def server() -> Iterator[Rude]:
    with rude() as server:
        server.blob(DATA)
        yield server


def fetch(remote: RemoteRepository, wanted: Descriptor | None = None, offset: int = 0) -> bytes:
    with remote.open_from(wanted or named(DATA), offset) as source:
        return source.read()


def bent(server: Rude, **changes: Any) -> Any:
    """The honest answer, bent."""
    from dataclasses import replace

    return lambda ask: replace(server.honest(ask), **changes)


def test_a_cut_body_goes_on_where_it_was(server: Rude) -> None:
    server.rule("GET", BLOB, bent(server, cut=1 << 20))
    server.rule("GET", BLOB, bent(server, cut=700_001))
    assert fetch(repository(server)) == DATA
    assert [ask.headers.get("range") for ask in server.asked("GET", BLOB)] == [
        None,
        "bytes=1048576-",
        f"bytes={(1 << 20) + 700_001}-",
    ]
    assert server.sent == len(DATA), "not a byte twice"


def test_a_body_that_is_cut_every_time_is_given_up_within_the_tries(server: Rude) -> None:
    server.rule("GET", BLOB, bent(server, cut=1000), FOREVER)
    with pytest.raises(Unavailable, match=r"was cut 4 times, at last at byte 4000 of 3145728.*bytes are missing"):
        fetch(repository(server))
    assert len(server.asked("GET", BLOB)) == 4


def test_progress_wipes_the_slate(server: Rude) -> None:
    data = noise(11 << 20)
    server.blob(data)
    server.rule("GET", BLOB, bent(server, cut=(1 << 20) + 10), FOREVER)
    assert fetch(repository(server), named(data)) == data
    assert len(server.asked("GET", BLOB)) == 11, "more cuts than tries, each after a MiB"


@pytest.mark.parametrize("start", [0, 1, 1 << 20, len(DATA) - 1])
def test_from_the_middle(server: Rude, start: int) -> None:
    assert fetch(repository(server), offset=start) == DATA[start:]
    assert server.sent == len(DATA) - start


def test_from_the_end_asks_nobody(server: Rude) -> None:
    assert fetch(repository(server), offset=len(DATA)) == b""
    assert server.asked("GET", BLOB) == []


def test_an_empty_blob(server: Rude) -> None:
    server.blob(b"")
    assert fetch(repository(server), named(b"")) == b""


def test_200_to_a_range_begins_anew_and_delivers_nothing_twice(server: Rude) -> None:
    server.rule("GET", BLOB, bent(server, cut=1 << 20))
    server.rule("GET", BLOB, lambda ask: Reply(body=DATA))
    assert fetch(repository(server)) == DATA
    server.rule("GET", BLOB, lambda ask: Reply(body=DATA, cut=2 << 20))
    server.rule("GET", BLOB, lambda ask: Reply(body=DATA, cut=5))
    server.rule("GET", BLOB, lambda ask: Reply(body=DATA))
    assert fetch(repository(server), offset=77) == DATA[77:]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(206, {"Content-Range": f"bytes 5-{len(DATA) - 1}/{len(DATA)}"}, DATA[5:]),
        Reply(206, {"Content-Range": f"bytes 1000-{len(DATA) - 1}/{len(DATA) + 1}"}, DATA[1000:]),
        Reply(206, {}, DATA[1000:]),
        Reply(206, {"Content-Range": f"bytes {'9' * 5000}-1/*"}, DATA[1000:]),
        Reply(416, {"Content-Range": f"bytes */{len(DATA)}"}),
    ],
    ids=["another-start", "another-size", "no-content-range", "absurd", "416"],
)
def test_a_wrong_answer_to_a_range_is_not_used(server: Rude, reply: Reply) -> None:
    server.rule("GET", BLOB, reply)
    assert fetch(repository(server), offset=1000) == DATA[1000:]
    assert [ask.headers.get("range") for ask in server.asked("GET", BLOB)] == ["bytes=1000-", None]


def test_a_short_body_of_consistent_length_is_refused_unread(server: Rude) -> None:
    server.rule("GET", BLOB, Reply(body=DATA[:100]))
    with pytest.raises(BlobMismatch, match="should be 3145728 bytes, but 100 bytes came"):
        fetch(repository(server))
    assert len(server.asked("GET", BLOB)) == 1


def test_content_coding_of_a_proxy_is_never_undone_in_silence(server: Rude) -> None:
    import gzip

    server.rule("GET", BLOB, Reply(headers={"Content-Encoding": "gzip"}, body=gzip.compress(DATA)))
    with pytest.raises(ProtocolViolation, match=r"Content-Encoding 'gzip'.*a proxy"):
        fetch(repository(server))
    packed = gzip.compress(b"as it is stored")
    server.blob(packed)
    server.rule("GET", BLOB, Reply(headers={"Content-Encoding": "gzip"}, body=packed))
    assert fetch(repository(server), named(packed)) == packed, "the bytes are the blob's own"
    assert server.asked("GET", BLOB)[-1].headers["accept-encoding"] == "identity"


def test_a_body_without_a_length(server: Rude) -> None:
    def chunked(ask: Ask) -> Reply:
        pieces = (DATA[place : place + 65536] for place in range(0, len(DATA), 65536))
        body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        return Reply(headers={"Transfer-Encoding": "chunked"}, body=body)

    server.rule("GET", BLOB, chunked)
    assert hashlib.sha256(fetch(repository(server))).digest() == hashlib.sha256(DATA).digest()


def test_a_trickle_counts_as_a_cut(server: Rude) -> None:
    server.rule("GET", BLOB, Reply(body=DATA, piece=1, pause=0.01))
    remote = repository(server, quick(window=0.15, slowest=1000))
    assert fetch(remote) == DATA
    assert server.asked("GET", BLOB)[1].headers["range"].startswith("bytes=")


def test_a_trickle_for_ever_ends(server: Rude) -> None:
    server.rule("GET", BLOB, Reply(body=DATA, piece=1, pause=0.01), FOREVER)
    with pytest.raises(Unavailable, match=r"cut 4 times.*sent only"):
        fetch(repository(server, quick(window=0.1, slowest=1000)))


def test_a_dead_stall_is_noticed_and_gone_on_with(server: Rude) -> None:
    server.rule("GET", BLOB, Reply(body=DATA, piece=1 << 20, pause=3.0))
    assert fetch(repository(server, quick(read_seconds=0.3))) == DATA
    assert server.asked("GET", BLOB)[1].headers["range"] == "bytes=1048576-"


def test_redirected_to_storage_without_our_authorization(server: Rude, tmp_path: Path) -> None:
    with rude() as storage:
        storage.blob(DATA)
        place = f"{storage.url}/v2/x/blobs/{named(DATA).digest}?signature=a%2Bb"
        server.rule("GET", BLOB, Reply(307, {"Location": place}), FOREVER)
        storage.rule("GET", BLOB, bent(storage, cut=1 << 20))
        assert fetch(repository(server)) == DATA
        assert [ask.query for ask in storage.asked("GET", BLOB)] == ["signature=a%2Bb"] * 2
        assert all("authorization" not in ask.headers for ask in storage.seen)
        assert len(server.asked("GET", BLOB)) == 2, "the rest is asked for at the registry: the place may have expired"


def test_what_is_not_there(server: Rude) -> None:
    with pytest.raises(NotFound, match="BLOB_UNKNOWN"):
        fetch(repository(server), named(b"other"))

"""Requests on the wire: where each ends is never in doubt, and nobody is waited for without end."""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layers import Store
from registry.server import Address, RegistryServer, wire
from registry.server.wire import Body, Gone, Head, Malformed, Wire
from tests.support.distribution import digest_of
from tests.support.soon import soon

HEAD = b"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: here\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A registry of nothing."""
    root = tmp_path_factory.mktemp("wire") / "store"
    with Store.open(root) as store, RegistryServer(store, Address("127.0.0.1", 0)) as running:
        yield running


def spoken(server: RegistryServer, *pieces: bytes, pause: float = 0, shut: bool = True) -> bytes:
    """What the server answers to some bytes, until it closes."""
    with socket.create_connection((server.address.host, server.address.port), timeout=20) as sock:
        with suppress(OSError):  # it need not listen to the end
            for piece in pieces:
                sock.sendall(piece)
                time.sleep(pause)
            if shut:
                sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(1 << 16), b""))


def statuses(answered: bytes) -> list[bytes]:
    """The statuses of several answers."""
    return re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", answered)


def fed(data: bytes) -> Wire:
    """A wire on which these bytes come, and then the end."""
    ours, theirs = socket.socketpair()
    theirs.sendall(data)
    theirs.close()
    return Wire(ours)


@settings(deadline=None)
@given(
    st.lists(st.binary(min_size=1, max_size=200), max_size=8),
    st.sampled_from([b"", b";name=value", b" ; x"]),
    st.sampled_from([b"", b"Trailing: yes\r\n"]),
    st.binary(max_size=30),
)
def test_chunks_are_what_was_sent_and_nothing_of_what_follows(
    pieces: list[bytes], extension: bytes, trailer: bytes, after: bytes
) -> None:
    sent = b"".join(b"%x%s\r\n%s\r\n" % (len(piece), extension, piece) for piece in pieces)
    sent += b"0" + extension + b"\r\n" + trailer + b"\r\n"
    head = Head.parse(HEAD + b"Transfer-Encoding: chunked")
    line = fed(sent + after)
    body = Body(line, head)
    assert body.read(1 << 20) == b"".join(pieces)
    assert body.ended
    rest = bytearray(len(after))
    assert not after or line.into(memoryview(rest)) == len(after)
    assert rest == after


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 3\r\nTransfer-Encoding: chunked",
        b"Content-Length: 3\r\nContent-Length: 4",
        b"Content-Length: +3",
        b"Content-Length: 3, 3",
        b"Content-Length: 0x3",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding : chunked",
        b" folded: yes",
        b"Host: again",
        b"Na\x00me: x",
        b"Name: x\x00y",
        b"Name: x\ny: z",
        b"nothing",
    ],
)
def test_heads_that_can_be_read_in_two_ways_end_the_connection(server: RegistryServer, headers: bytes) -> None:
    answered = spoken(server, HEAD + headers + b"\r\n\r\nGET /v2/ HTTP/1.1\r\nHost: here\r\n\r\n")
    assert answered.startswith(b"HTTP/1.1 400 ")
    assert b"Connection: close" in answered
    assert statuses(answered) == [b"400"]


@pytest.mark.parametrize(
    "first", [b"GET  /v2/ HTTP/1.1", b"GET /v2/ HTTP/2.0", b"GET /v2/", b"G\x01T / HTTP/1.1", b"\x16\x03\x01"]
)
def test_what_is_no_request(server: RegistryServer, first: bytes) -> None:
    assert spoken(server, first + b"\r\nHost: here\r\n\r\n").startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("size", [b"x", b"-1", b"", b"1" * 17, b"5\r\nabc\r\n0\r\n\r\n"])
def test_chunks_that_lie(size: bytes) -> None:
    body = Body(fed(size + b"\r\n" + b"abcdefgh" * 9), Head.parse(HEAD + b"Transfer-Encoding: chunked"))
    with pytest.raises((Malformed, Gone)):
        body.read(1 << 20)


def test_a_body_that_is_cut(server: RegistryServer) -> None:
    body = Body(fed(b"abc"), Head.parse(HEAD + b"Content-Length: 4"))
    with pytest.raises(Gone):
        body.read(10)
    post = f"POST /v2/a/blobs/uploads/?digest={digest_of(b'abcd')} HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nabc"
    assert spoken(server, post.encode()) == b""


def test_who_tries_tls_is_told_at_once(server: RegistryServer) -> None:
    before = time.monotonic()
    assert statuses(spoken(server, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 500)) == [b"400"]
    assert time.monotonic() - before < wire.HEAD_TIME / 2


def test_a_client_that_breaks_off_is_no_defect_of_ours(tmp_path: Path) -> None:
    told: list[str] = []
    with (
        Store.open(tmp_path / "store") as store,
        RegistryServer(store, Address("127.0.0.1", 0), report=told.append) as running,
    ):
        for sent in (HEAD + b"Content-Length: 5\r\n\r\nabc", HEAD, HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"):
            with socket.create_connection((running.address.host, running.address.port)) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.sendall(sent.replace(b"uploads/", b"uploads/?digest=" + digest_of(b"x").encode()))
                time.sleep(0.05)
        assert statuses(spoken(running, b"GET /v2/ HTTP/1.1\r\nHost: h\r\n\r\n")) == [b"200"]
    assert told == []


def test_headers_have_a_limit(server: RegistryServer) -> None:
    answered = spoken(server, HEAD, *[b"X-%d: %s\r\n" % (number, b"y" * 1000) for number in range(200)])
    assert answered.startswith(b"HTTP/1.1 431 ")


def test_requests_may_come_before_answers(server: RegistryServer) -> None:
    one = b"GET /v2/ HTTP/1.1\r\nHost: here\r\n\r\n"
    post = HEAD + b"Content-Length: 5\r\n\r\nGET /"
    answered = spoken(server, one + post + one + b"GET /v2/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" + one)
    assert statuses(answered) == [b"200", b"202", b"200", b"200"]


def test_proxies_write_the_whole_address(server: RegistryServer) -> None:
    for target in (b"http://here:5000/v2/", b"HTTPS://h/v2/?n=1"):
        assert statuses(spoken(server, b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n" % target)) == [b"200"]
    for target in (b"http://here", b"*", b"v2/"):
        assert statuses(spoken(server, b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n" % target))[0] in (b"400", b"404")


def test_ipv6(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store, RegistryServer(store, Address("::1", 0)) as running:
        assert str(running.address).startswith("[::1]:")
        assert statuses(spoken(running, b"GET /v2/ HTTP/1.1\r\nHost: h\r\n\r\n")) == [b"200"]


def test_http_1_0_gets_one_answer(server: RegistryServer) -> None:
    answered = spoken(server, b"GET /v2/ HTTP/1.0\r\n\r\n", shut=False)
    assert answered.startswith(b"HTTP/1.1 200 ")
    assert answered.endswith(b"{}")


def test_the_body_is_asked_for_when_it_is_wanted(server: RegistryServer) -> None:
    data = b"wanted"
    head = f"POST /v2/a/blobs/uploads/?digest={digest_of(data)} HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
    with socket.create_connection((server.address.host, server.address.port), timeout=20) as sock:
        sock.sendall(head.encode() + b"Content-Length: 6\r\n\r\n")
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(data)
        assert sock.recv(1000).startswith(b"HTTP/1.1 201 ")
        sock.sendall(head.replace("/a/", "/A/").encode() + b"Content-Length: 6\r\n\r\n")
        answered = b"".join(iter(lambda: sock.recv(1000), b""))
        assert answered.startswith(b"HTTP/1.1 400 "), "what is refused is not asked for"
        assert b"Connection: close" in answered


def test_who_sends_nothing_is_not_waited_for(server: RegistryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "HEAD_TIME", 0.3)
    monkeypatch.setattr(wire, "KEPT", 0.5)
    assert spoken(server, shut=False) == b"", "an idle connection"
    assert spoken(server, b"GET /v2/ HT", shut=False) == b"", "half a head"
    monkeypatch.setattr(wire, "HEAD_TIME", 20.0)  # a whole one is not a matter of haste on a busy machine
    monkeypatch.setattr(wire, "KEPT", 20.0)
    monkeypatch.setattr(wire, "PATIENCE", 0.3)
    put = b"PUT /v2/a/manifests/1 HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n"
    assert spoken(server, put, b"{", shut=False).startswith(b"HTTP/1.1 408 "), "half a body"
    slow = spoken(server, put, *[b"x"] * 8, pause=0.1, shut=False)
    assert slow.startswith(b"HTTP/1.1 408 "), "a body that only drips"


def test_the_end_does_not_wait_for_idle_connections(tmp_path: Path) -> None:
    before_all = set(threading.enumerate())
    with Store.open(tmp_path / "store") as store:
        with RegistryServer(store, Address("127.0.0.1", 0)) as running:
            idle = socket.create_connection((running.address.host, running.address.port))
            idle.sendall(b"GET /v2/ HTTP/1.1\r\nHost: h\r\n\r\n")
            assert idle.recv(1000)
            before = time.monotonic()
        assert time.monotonic() - before < 5
        assert idle.recv(1) == b""
        idle.close()
        assert soon(lambda: set(threading.enumerate()) <= before_all)

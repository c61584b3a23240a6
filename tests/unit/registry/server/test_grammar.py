"""Names, ranges and addresses: the whole text counts, and what is accepted means one thing."""

from __future__ import annotations

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from layers import Reference
from layers.oci.reference import NAME
from registry.server import Address, names, ranges
from registry.server.faults import Fault


@example("a_b.c/d")  # looks like a host, and cannot be one
@example("docker.io/a")
@example("index.docker.io/a")
@settings(max_examples=50, deadline=None)
@given(st.from_regex(NAME, fullmatch=True).filter(lambda text: len(text) < 240))
def test_every_repository_name_is_a_name_of_the_store_and_back(text: str) -> None:
    found = names.repository(text)
    tagged = found.with_tag("1")
    assert Reference.parse(str(tagged)) == tagged, "the store can read it back"
    path = names.path(found)
    assert path is not None
    assert names.repository(path) == found


def test_names_are_what_a_person_types() -> None:
    for text in ("app", "team/app", "example.org/team/app", "localhost/app"):
        assert names.repository(text) == Reference.parse(text, default_tag=False)
        assert names.path(Reference.parse(text)) == text
    assert names.repository("library/app") == names.repository("app")
    assert names.path(Reference.parse("localhost:5000/app")) is None, "it has a port"


@pytest.mark.parametrize(
    "text", ["", "A", "a/", "/a", "a//b", "../a", "a/..", "a\n", "a b", "a:1", "x" * 256, "x" * 250, "0" * 64]
)
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(Fault) as raised:
        names.repository(text)
    assert raised.value.code == "NAME_INVALID"


@given(st.integers(0, 30), st.integers(0, 40), st.integers(0, 40))
def test_ranges_are_slices(size: int, first: int, last: int) -> None:
    data = bytes(range(size))
    for text, piece in (
        (f"bytes={first}-{last}", data[first : last + 1] if first <= last else b""),
        (f"bytes={first}-", data[first:]),
        (f"bytes=-{last}", data[-last:] if last else b""),
    ):
        try:
            found = ranges.wanted(text, size)
        except Fault as fault:
            assert (fault.status, piece) == (416, b"")
        else:
            assert found is not None
            assert data[found[0] : sum(found)] == piece != b""


@pytest.mark.parametrize("text", [None, "", "bytes=-", "bytes=1-2,4-5", "lines=1-2", "bytes=a-b", "bytes 1-2"])
def test_other_ranges_get_everything(text: str | None) -> None:
    assert ranges.wanted(text, 10) is None


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_pieces(start: int, end: int) -> None:
    assume(start <= end)
    for text in (f"{start}-{end}", f"bytes {start}-{end}/*"):
        assert ranges.sent(text) == (start, end - start + 1)


@pytest.mark.parametrize(
    ("text", "host", "port", "loopback"),
    [
        ("127.0.0.1:5001", "127.0.0.1", 5001, True),
        ("127.0.0.1", "127.0.0.1", 5000, True),
        ("localhost:0", "localhost", 0, True),
        ("[::1]:5001", "::1", 5001, True),
        (":80", "", 80, False),
        ("0.0.0.0:80", "0.0.0.0", 80, False),
        ("example.org:443", "example.org", 443, False),
    ],
)
def test_addresses(text: str, host: str, port: int, loopback: bool) -> None:
    found = Address.parse(text)
    assert (found.host, found.port, found.loopback) == (host, port, loopback)
    assert Address.parse(str(found)) == found


@pytest.mark.parametrize("text", ["::1", "a:b", "127.0.0.1:70000", "http://localhost", "[::1", "a b"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        Address.parse(text)

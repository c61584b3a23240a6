"""Docker's syntax of published ports."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.containers.connecting import spans
from builder.networks.ports import exposed, parse
from builder.networks.wish import Publish

PORT = st.integers(1, 65535)
ADDRESS = st.ip_addresses().map(str)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("80", [Publish(80)]),
        ("8080:80", [Publish(80, "tcp", "", 8080, 8080)]),
        ("127.0.0.1:8080:80/udp", [Publish(80, "udp", "127.0.0.1", 8080, 8080)]),
        ("127.0.0.1::80", [Publish(80, "tcp", "127.0.0.1")]),
        ("0:80", [Publish(80)]),
        ("[::1]:8080:80", [Publish(80, "tcp", "::1", 8080, 8080)]),
        ("[FD00::0]::80/udp", [Publish(80, "udp", "fd00::")]),
        ("7000-7001:80-81", [Publish(80, "tcp", "", 7000, 7000), Publish(81, "tcp", "", 7001, 7001)]),
        ("7000-7005:80", [Publish(80, "tcp", "", 7000, 7005)]),
        ("80-81/sctp", [Publish(80, "sctp"), Publish(81, "sctp")]),
    ],
)
def test_what_docker_accepts(text: str, found: list[Publish]) -> None:
    assert parse(text) == found


@pytest.mark.parametrize(
    "text",
    [
        *("", "a", "80:", "80/icmp", "1:2:3:4", "70000:80", "80:70000", "2-1", "1-3:1-2", "x:80:80"),
        *("[::1]:80", "[::1:80:80", "[x]:80:80", "[]:80", "[fe80::1%eth0]:80:80:80", "::1:80:80"),
        *("300.0.0.1:80:80", "-80", "80-", " 80", "８0", "80:0"),
    ],
)
def test_what_it_does_not(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse(text)


@given(ADDRESS, PORT, PORT, st.sampled_from(["tcp", "udp", "sctp"]))
def test_what_is_said_is_what_is_meant(host: str, outer: int, inner: int, protocol: str) -> None:
    shown = f"[{host}]" if ":" in host else host
    assert parse(f"{shown}:{outer}:{inner}/{protocol}") == [Publish(inner, protocol, host, outer, outer)]


@given(st.text(alphabet="0123456789:./-tcpud[]", max_size=20))
def test_any_text_is_ports_or_an_error(text: str) -> None:
    try:
        found = parse(text)
    except ValueError:
        return
    assert found
    assert all(0 <= one.first <= one.last <= 65535 for one in found)


def test_exposed() -> None:
    assert exposed("80") == ["80/tcp"]
    assert exposed("53-54/udp") == ["53/udp", "54/udp"]
    with pytest.raises(ValueError, match="80:80"):
        exposed("80:80")


def test_the_column_of_ps() -> None:
    """What docker 28.5 shows for the same ports."""
    free = [(100, "tcp", "", 0), (101, "tcp", "", 0), (102, "tcp", "", 0), (53, "udp", "", 0), (80, "tcp", "", 0)]
    assert list(spans(free)) == ["80/tcp", "53/udp", "100-102/tcp"]
    alike = [(port, "tcp", "127.0.0.1", port) for port in (92, 90, 91)]
    assert list(spans([*alike, (9, "tcp", "127.0.0.1", 900), (7, "udp", "::", 7)])) == [
        "[::]:7->7/udp",
        "127.0.0.1:90-92->90-92/tcp",
        "127.0.0.1:900->9/tcp",
    ]

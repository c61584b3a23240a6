"""Which IPv6 address goes with which place in a network."""

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.networks import six
from builder.networks.errors import NetworkError
from builder.networks.leases import Lease
from builder.networks.network import Network
from layers.quick import replace
from runner.net import ipv6

NET = Network(
    id="x", name="x", subnet="10.0.0.0/8", gateway="10.0.0.1", ipv6=True, subnet6="fd00:1::/64", gateway6="fd00:1::1"
)
OFFSET = st.integers(2, 2**24 - 2)


def lease(address6: str) -> Lease:
    """Somebody with this address."""
    return Lease(network="x", address="10.0.0.9/8", gateway="", mac="", outer="", address6=f"{address6}/64")


@given(OFFSET, OFFSET)
def test_each_place_has_one_of_its_own(one: int, other: int) -> None:
    first, second = (six.place(NET, IPv4Address("10.0.0.0") + at) for at in (one, other))
    assert (first == second) == (one == other)
    assert int(first) - int(IPv6Address("fd00:1::")) == one


@given(OFFSET)
def test_what_somebody_has_is_given_to_nobody_else(at: int) -> None:
    address = IPv4Address("10.0.0.0") + at
    others = [lease(str(six.place(NET, address)))]
    assert six.free(NET, address, []) and not six.free(NET, address, others)
    with pytest.raises(NetworkError, match="already in use"):
        six.interface(NET, address, "", others)
    asked = str(six.place(NET, address + 1))
    assert six.interface(NET, address, asked, others) == f"{asked}/64"
    with pytest.raises(NetworkError, match="already in use"):
        six.interface(NET, address, others[0].ip6, others)


def test_the_gateways_place_is_nobodys() -> None:
    other = replace(NET, gateway="10.0.0.254")
    assert not six.free(other, IPv4Address("10.0.0.1"), [])
    with pytest.raises(NetworkError, match="already in use"):
        six.interface(NET, IPv4Address("10.0.0.2"), "fd00:1::1", [])


def test_a_machine_without_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipv6, "SETTINGS", tmp_path / "none")
    with pytest.raises(NetworkError, match=r"this machine has no IPv6 .*leave it out"):
        six.addressed(replace(NET, subnet6="", gateway6=""), [])

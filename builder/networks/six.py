"""IPv6 of a network: its subnet and gateway, and the address of each container there.

A container's place in the IPv6 subnet is the one that it has in the IPv4 subnet, unless it asked for another; so there
is one book of addresses. Nobody is given a place whose IPv6 address somebody has asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import TYPE_CHECKING

from builder.networks.errors import NetworkError
from layers.quick import replace

if TYPE_CHECKING:
    from builder.networks.leases import Lease
    from builder.networks.network import Network

OURS = IPv6Network("fd00::/8")
"""Where subnets are chosen: a number of 40 bits that nobody else has drawn, and one subnet (RFC 4193)."""
SMALLEST = 96
"""The longest prefix that has a place for all IPv4 addresses."""


def addressed(network: Network, others: Iterable[Network]) -> Network:
    """With its subnet, a free one unless it was said, and its gateway. Raises NetworkError."""
    from runner import rootless
    from runner.net import ipv6
    from runner.net.rtnetlink import Netlink

    if rootless.owner() is not None:
        raise NetworkError("--ipv6: networks without root have IPv4 only, for slirp4netns publishes no other")
    if why := ipv6.missing():
        raise NetworkError(f"--ipv6: {why}; leave it out")
    try:
        subnet = IPv6Network(network.subnet6 or (int.from_bytes(b"\xfd" + os.urandom(5)) << 80, 64))
        gateway = IPv6Address(network.gateway6) if network.gateway6 else subnet[1]
    except ValueError as error:
        raise NetworkError(f"invalid network config: {error}") from error
    if subnet.prefixlen > SMALLEST:
        raise NetworkError(f"invalid subnet {subnet}: /{SMALLEST} is the smallest for IPv6")
    if subnet.is_link_local or subnet.is_multicast or subnet.is_loopback:
        raise NetworkError(f"invalid subnet {subnet}: its addresses mean something else")
    if gateway not in subnet or gateway == subnet.network_address:
        raise NetworkError(f"invalid gateway {gateway}: it is no address of {subnet}")
    with Netlink() as kernel:
        busy = [*kernel.taken6(), *(IPv6Network(other.subnet6) for other in others if other.subnet6)]
    if taken := next((other for other in busy if other.overlaps(subnet)), None):
        raise NetworkError(f"invalid subnet {subnet}: it overlaps {taken}, which is in use on this machine")
    return replace(network, subnet6=str(subnet), gateway6=str(gateway))


def place(network: Network, address: IPv4Address) -> IPv6Address:
    """The IPv6 address that goes with an IPv4 one."""
    return IPv6Network(network.subnet6)[int(address) - int(IPv4Network(network.subnet).network_address)]


def free(network: Network, address: IPv4Address, taken: Iterable[Lease]) -> bool:
    """Whether nobody has the IPv6 address that goes with it."""
    found = str(place(network, address))
    return found != network.gateway6 and all(found != lease.ip6 for lease in taken)


def interface(network: Network, address: IPv4Address, asked: str, taken: Iterable[Lease]) -> str:
    """What a container gets, `asked` or the one that goes with its IPv4 address. Raises NetworkError."""
    subnet = IPv6Network(network.subnet6)
    found = IPv6Address(asked) if asked else place(network, address)
    if asked and network.chosen6:
        raise NetworkError(f"--ip6 {asked}: an address can be chosen only in a network with an IPv6 subnet of your own")
    if found not in subnet or found == subnet.network_address:
        raise NetworkError(f"--ip6 {asked}: it is no address of network {network.name} ({subnet})")
    if str(found) == network.gateway6 or any(str(found) == lease.ip6 for lease in taken):
        raise NetworkError(f"--ip6 {found}: Address already in use in network {network.name}")
    return str(IPv6Interface((found, subnet.prefixlen)))

"""Addresses of a network that slirp4netns(1) plays: one for whom it is played, and where the program itself answers."""

from ipaddress import IPv4Interface, IPv4Network
from typing import Self

from layers.quick import dataclass

NEVER = [IPv4Network(text) for text in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")]
"""Addresses that mean something else: this network, loopback, links, groups and none."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the namespace has: its address, and in that one's network of 256 the places where the program answers."""

    address: IPv4Interface

    @classmethod
    def of(cls, ip: str) -> Self:
        """With an address of one's own; "" for the usual one. Raises ValueError."""
        plan = cls(IPv4Interface(f"{ip or '10.0.2.100'}/24"))
        address = plan.address.ip
        if any(address in network for network in NEVER):
            raise ValueError(f"{ip} is no address that a container can have")
        if int(address) & 0xFF in (0, 255):
            raise ValueError(f"{ip} is the network {plan.address.network} itself, or all of it")
        if ip in (plan.gateway, plan.nameserver):
            raise ValueError(f"{ip} is the gateway or the name server of {plan.address.network}: choose another")
        return plan

    @property
    def gateway(self) -> str:
        """Where packets for elsewhere go."""
        return str(self.address.network[2])

    @property
    def nameserver(self) -> str:
        """Where it answers for this machine's name servers, those on loopback too."""
        return str(self.address.network[3])

    @property
    def first(self) -> IPv4Interface:
        """The address that the program itself configures."""
        return IPv4Interface((self.address.network[100], self.address.network.prefixlen))


USUAL = Plan.of("")

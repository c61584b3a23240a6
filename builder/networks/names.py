"""Names of containers in /etc/hosts, kept up to date by whoever joins or leaves.

The file of a container is mounted into it, so it is rewritten in place: a part of its own between two marks; what is
outside, such as lines that the container has added, stays.
"""

from __future__ import annotations

import os
from contextlib import suppress

from builder.networks import leases

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from builder.networks.book import Networks
    from builder.networks.leases import Lease
    from builder.networks.network import Network

BEGIN, END = "# networks: kept up to date from here", "# to here"
LARGEST = 1 << 20
"""Bytes of a file whose other lines are kept; the container may have written anything."""


def tell(book: Networks, network: Network) -> None:
    """Write the names that every member of a network shall know; alone."""
    everything = {other.id: (other, leases.of(book, other)) for other in book.made()}
    for lease in everything[network.id][1] if network.id in everything else ():
        if lease.hosts:
            inform(lease.hosts, lines(lease.hosts, list(everything.values())))


def forget(book: Networks, hosts: str) -> None:
    """Write the names anew for one who has left a network; alone."""
    inform(hosts, lines(hosts, [(other, leases.of(book, other)) for other in book.made()]))


def lines(hosts: str, everything: list[tuple[Network, list[Lease]]]) -> list[str]:
    """What one container knows: itself, the gateway by the names it was asked to have, all in its networks."""
    own: list[str] = []
    others: list[str] = []
    for network, members in everything:
        for lease in members:
            if lease.hosts != hosts:
                continue
            if lease.hostname:
                own += [f"{ip}\t{lease.hostname}" for ip in (lease.ip, lease.ip6) if ip]
            own += [f"{lease.gateway or network.gateway}\t{name}" for name in lease.gateways]
            if network.name == "bridge":  # as docker has it: names are for networks that somebody made
                continue
            others += [
                f"{ip}\t" + " ".join(dict.fromkeys([member.name, *member.aliases, member.container[:12]]))
                for member in members
                for ip in (member.ip, member.ip6)
                if member.name and ip
            ]
    return [*own, *others]


def inform(path: str, lines: list[str]) -> None:
    """Put the lines into a hosts file that may be mounted somewhere."""
    with suppress(FileNotFoundError):  # its container has just gone
        held = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            before = os.pread(held, LARGEST, 0)
            text = before.decode("utf-8", "surrogateescape")
            head, _, tail = text.partition(f"{BEGIN}\n")
            _, _, tail = tail.partition(f"{END}\n")
            if head and not head.endswith("\n"):
                head += "\n"
            data = "".join([head, f"{BEGIN}\n", *(f"{line}\n" for line in lines), f"{END}\n", tail])
            new = data.encode("utf-8", "surrogateescape")
            if new != before:
                os.pwrite(held, new, 0)
                os.ftruncate(held, len(new))
        finally:
            os.close(held)

"""A process joins networks, and leaves them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address

from builder.networks import leases, names, ports
from builder.networks.book import Networks
from builder.networks.errors import NetworkError
from builder.networks.leases import Lease
from builder.networks.network import BINDING, Network
from layers.quick import replace

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from builder.networks.wish import Member
    from layers import Store
    from runner.net.bridge import Plug


class Joining:
    """The networks of one process, from before its start to after its end; `close` may be called at any moment.

    Bridges are made and addresses drawn by a thread, for the kernel takes its time and other things can be done.
    """

    lingers = True
    """Whether a bridge stays for a moment after its last container."""

    def __init__(self, store: Store, member: Member, warn: Callable[[str], None]) -> None:
        """Begin. Raises NetworkMissing, NetworkError (a port that is taken, an address that does not fit)."""
        self.book = Networks(store)
        self.member = member
        self.warn = warn
        self.networks = [self.book.usable(wish.network) for wish in member.wishes]
        if len({network.id for network in self.networks}) < len(self.networks):
            raise NetworkError("a container joins a network once")
        self.made: list[tuple[Network, Lease, int]] = []
        self._undo = ExitStack()
        self._failed: BaseException | None = None
        self._told: list[str] = []
        outward = [at for at, network in enumerate(self.networks) if not network.internal]
        self.door = outward[0] if outward else -1
        self.binding = self.networks[self.door].options.get(BINDING, "") if outward else ""
        try:
            six = bool(outward) and self.networks[self.door].ipv6
            self.held = ports.hold(member.published, self.binding, self._undo, six=six) if outward else []
        except NetworkError:
            self._undo.close()
            raise
        if member.published and not outward:
            warn("ports are not published: the container is in internal networks only")
        self._begin()

    def _begin(self) -> None:
        self._thread = threading.Thread(target=self._prepare, name="pybuild-networks")
        self._thread.start()

    def _prepare(self) -> None:
        from runner.net import bridge

        try:
            with leases.alone():
                leases.outlive(self.book, self.member.container)
                for network, wish in zip(self.networks, self.member.wishes, strict=True):
                    draft = Lease(
                        network=network.id,
                        address="",
                        gateway="",
                        mac=wish.mac,
                        outer="",
                        container=self.member.container,
                        name=self.member.name,
                        hostname=self.member.hostname,
                        aliases=wish.aliases,
                        hosts=str(self.member.hosts),
                    )
                    network, lease, held = leases.reserve(self.book, network, draft, wish.ip, wish.ip6)
                    self.made.append((network, lease, held))
                    self._told += bridge.set_up(network.bridge(), self.book.place(network))
        except BaseException as problem:
            self._failed = problem

    def wire(self, pid: int) -> None:
        """Give the process its interfaces, eth0 and on; then its ports and names. Raises NetworkUnavailable."""
        from runner.net import bridge

        self._thread.join()
        self._ready()
        with bridge.namespace(pid) as netns, leases.alone():
            self.plug(netns)
            self.name()

    def _ready(self) -> None:
        for sentence in self._told:
            self.warn(sentence)
        if self._failed is not None:
            raise self._failed

    def plug(self, netns: int) -> None:
        """Wire a namespace, and lead the ports there; alone. Raises NetworkUnavailable."""
        from runner.net import bridge, nft

        outward = max(
            (at for at, (network, _, _) in enumerate(self.made) if not network.internal),
            key=lambda at: self.member.wishes[at].priority,
            default=-1,
        )
        for at, (network, lease, held) in enumerate(self.made):
            gateways = self.member.gateways if at == max(self.door, 0) else ()
            lease = replace(lease, inner=f"eth{at}", gateways=gateways)
            if at == self.door:
                lease = replace(lease, ports=ports.bindings(self.held), elements=tuple(self._elements()))
            self.made[at] = network, lease, held
            lease.write(held)
            bridge.plug(network.bridge(), netns, wanted(lease, default=at == outward))
            if lease.elements:
                leases.outlive(self.book, self.member.container, lease.elements)
                targets = {False: ip_address(lease.ip), True: ip_address(lease.ip6 or lease.ip)}
                nft.publish(
                    network.bridge().table,
                    [
                        (*element, targets[":" in element[0]], one.publish.port)
                        for element, one in zip(lease.elements, self.held, strict=True)
                    ],
                )

    def name(self) -> None:
        """Tell the names, to all who shall know them; alone."""
        for network in {network.id: network for network, _, _ in self.made}.values():
            names.tell(self.book, network)

    def _elements(self) -> list[tuple[str, str, int]]:
        return [
            ("" if one.host == ports.EVERYWHERE else one.host, one.publish.protocol, one.outer) for one in self.held
        ]

    def close(self) -> None:
        """Leave: addresses and ports are free again, bridges that nobody else uses are gone."""
        self._thread.join()
        made, self.made = self.made, []
        if made:
            with leases.alone():
                ends = frozenset(lease.outer for _, lease, _ in made)
                leave(self.book, ends, self.member.container, lingers=self.lingers)
            for _, _, held in made:
                os.close(held)
        self._undo.close()


def leave(book: Networks, ends: frozenset[str], container: str, *, lingers: bool = True) -> None:
    """Give back what somebody has, by the outer `ends` or the id of a container; alone."""
    for network in book.made():  # it may have been connected to others, too, while it ran
        mine = [
            lease
            for lease in leases.every(book, network)
            if lease.outer in ends or (lease.container and lease.container == container)
        ]
        if mine and lingers and container:
            with suppress(OSError):  # the disk is full: it goes at once, then
                leases.linger(book, network)
        for lease in mine:
            leases.release(book, network, book.place(network) / "leases" / lease.ip)
        if mine:
            with suppress(OSError):  # likewise: they know of somebody who has gone, until the next one comes
                names.tell(book, network)


def wanted(lease: Lease, *, default: bool) -> Plug:
    """What the kernel is asked for."""
    from runner.net.bridge import Plug

    gateway = IPv4Address(lease.gateway) if default and lease.gateway else None
    gateway6 = IPv6Address(lease.gateway6) if default and lease.gateway6 else None
    address6 = IPv6Interface(lease.address6) if lease.address6 else None
    return Plug(lease.outer, lease.inner, IPv4Interface(lease.address), lease.mac, gateway, address6, gateway6)

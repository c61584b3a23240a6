"""rtnetlink(7) as far as a bridge and a veth pair need it: one socket, one message at a time.

Messages are of the network namespace that the socket was made in. The numbers are those of linux/rtnetlink.h,
linux/if_link.h and linux/veth.h, which never change.
"""

import _socket as socket  # the library's takes 2 ms to load
import os
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

from layers.quick import dataclass

NEWLINK, DELLINK, GETLINK, SETLINK, NEWADDR, DELADDR, GETADDR, NEWROUTE, GETROUTE = 16, 17, 18, 19, 20, 21, 22, 24, 26
REQUEST, ACK, DUMP, EXCLUSIVE, CREATE = 1, 4, 0x300, 0x200, 0x400
ERROR, DONE = 2, 3
IFF_UP = 1
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_OPERSTATE, IFLA_LINKINFO, IFLA_NET_NS_FD = (
    1,
    3,
    4,
    10,
    16,
    18,
    28,
)
IFLA_IFALIAS, LONGEST_ALIAS = 20, 255
IFLA_EXT_MASK, SKIP_STATISTICS = 29, 8
IFLA_PROTINFO, NESTED, BRPORT_HAIRPIN = 12, 0x8000, 4
INFO_KIND, INFO_DATA, VETH_INFO_PEER = 1, 2, 1
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST = 1, 2, 4
NO_DETECTION = 2  # IFA_F_NODAD: nobody else has it, so it need not be asked for
RTA_DST, RTA_OIF, RTA_GATEWAY = 1, 4, 5
OPERSTATE_UP = 6
UNIVERSE, UNICAST, BOOT, MAIN, LINK_SCOPE = 0, 1, 3, 254, 253
LARGEST = 1 << 16  # bytes of an answer


@dataclass(frozen=True, slots=True)
class Link:
    """An interface as the kernel tells it: `on` says that it was switched on, `up` that it carries packets."""

    index: int
    name: str
    on: bool
    up: bool
    mtu: int
    mac: str
    master: int
    alias: str
    """A remark that whoever made it has left on it."""


def attribute(kind: int, *parts: bytes) -> bytes:
    """One attribute, padded to four bytes; its value is the parts joined."""
    value = b"".join(parts)
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def attributes(data: bytes) -> dict[int, bytes]:
    """Attributes by kind."""
    found = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        found[kind & 0x3FFF] = data[4:length]
        data = data[max(4, length + 3 & ~3) :]
    return found


def text(name: str) -> bytes:
    """A string as the kernel has it."""
    return name.encode() + b"\0"


def number(value: int) -> bytes:
    """32 bits."""
    return struct.pack("=I", value)


def hardware(mac: str) -> bytes:
    """The six bytes of `02:42:ac:11:00:02`."""
    return bytes.fromhex(mac.replace(":", ""))


def interface(index: int = 0, flags: int = 0, change: int = 0) -> bytes:
    """struct ifinfomsg."""
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, flags, change)


class Netlink:
    """A conversation with the kernel about the network namespace of the thread that began it."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))
        self._count = 0

    def __enter__(self) -> "Netlink":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _ask(self, kind: int, flags: int, body: bytes) -> Iterator[bytes]:
        """Bodies of the answers. Raises OSError with the kernel's number."""
        self._count += 1
        self._socket.send(struct.pack("=IHHII", 16 + len(body), kind, REQUEST | flags, self._count, 0) + body)
        while True:
            data = self._socket.recv(LARGEST)
            while len(data) >= 16:
                length, answer, _, count, _ = struct.unpack_from("=IHHII", data)
                part, data = data[16:length], data[length + 3 & ~3 :]
                if count != self._count:
                    continue
                if answer == ERROR:
                    if problem := -struct.unpack_from("=i", part)[0]:
                        raise OSError(problem, os.strerror(problem))
                    return
                if answer == DONE:
                    return
                yield part

    def _tell(self, kind: int, flags: int, body: bytes) -> None:
        for _ in self._ask(kind, flags | ACK, body):
            pass

    def links(self) -> dict[str, Link]:
        """All interfaces, by name."""
        return {link.name: link for link in map(_link, self._ask(GETLINK, DUMP, interface()))}

    def link(self, name: str) -> Link | None:
        """One interface, or None."""
        bare = attribute(IFLA_EXT_MASK, number(SKIP_STATISTICS))
        try:
            for part in self._ask(GETLINK, ACK, interface() + attribute(IFLA_IFNAME, text(name)) + bare):
                found = _link(part)
        except OSError:
            return None
        return found

    def add_bridge(self, name: str, mtu: int, mac: str) -> None:
        """A bridge without an IP address that is off. Raises FileExistsError.

        With a hardware address of its own; else it takes one of its ports', and changes it when that one goes.
        """
        body = attribute(IFLA_IFNAME, text(name)) + attribute(IFLA_MTU, number(mtu))
        body += attribute(IFLA_ADDRESS, hardware(mac))
        info = attribute(IFLA_LINKINFO, attribute(INFO_KIND, b"bridge"))
        self._tell(NEWLINK, CREATE | EXCLUSIVE, interface() + body + info)

    def add_veth(self, name: str, master: int, mtu: int, *, peer: str, mac: str, netns: int) -> None:
        """A pair: `name` here, a port of `master`, on; `peer` with `mac` in the namespace `netns`, still off."""
        inner = (
            interface()
            + attribute(IFLA_IFNAME, text(peer))
            + attribute(IFLA_MTU, number(mtu))
            + attribute(IFLA_ADDRESS, hardware(mac))
            + attribute(IFLA_NET_NS_FD, number(netns))
        )
        data = attribute(INFO_DATA, attribute(VETH_INFO_PEER, inner))
        self._tell(
            NEWLINK,
            CREATE | EXCLUSIVE,
            interface(flags=IFF_UP, change=IFF_UP)
            + attribute(IFLA_IFNAME, text(name))
            + attribute(IFLA_MTU, number(mtu))
            + attribute(IFLA_MASTER, number(master))
            + attribute(IFLA_LINKINFO, attribute(INFO_KIND, b"veth"), data),
        )

    def hairpin(self, index: int) -> None:
        """Let a port of a bridge get back what it sent, so that a container reaches its own published port."""
        port = attribute(IFLA_PROTINFO | NESTED, attribute(BRPORT_HAIRPIN, b"\1"))
        self._tell(SETLINK, 0, struct.pack("=BxHiII", socket.AF_BRIDGE, 0, index, 0, 0) + port)

    def up(self, index: int) -> None:
        """Switch an interface on."""
        self._tell(NEWLINK, 0, interface(index, IFF_UP, IFF_UP))

    def remark(self, index: int, alias: str) -> None:
        """Leave a remark on an interface; one that is too long is left out."""
        if len(data := os.fsencode(alias)) <= LONGEST_ALIAS:
            self._tell(NEWLINK, 0, interface(index) + attribute(IFLA_IFALIAS, data))

    def remove(self, index: int) -> None:
        """Take an interface away."""
        self._tell(DELLINK, 0, interface(index))

    def add_address(self, index: int, address: IPv4Interface | IPv6Interface) -> None:
        """Give an interface an address. Raises FileExistsError."""
        if isinstance(address, IPv6Interface):
            body = attribute(IFA_LOCAL, address.ip.packed) + attribute(IFA_ADDRESS, address.ip.packed)
            head = struct.pack("=BBBBI", socket.AF_INET6, address.network.prefixlen, NO_DETECTION, UNIVERSE, index)
            self._tell(NEWADDR, CREATE | EXCLUSIVE, head + body)
            return
        body = attribute(IFA_LOCAL, address.ip.packed) + attribute(IFA_ADDRESS, address.ip.packed)
        body += attribute(IFA_BROADCAST, address.network.broadcast_address.packed)
        head = struct.pack("=BBBBI", socket.AF_INET, address.network.prefixlen, 0, UNIVERSE, index)
        self._tell(NEWADDR, CREATE | EXCLUSIVE, head + body)

    def remove_address(self, index: int, address: IPv4Interface) -> None:
        """Take an address from an interface, and with its last one all its routes."""
        head = struct.pack("=BBBBI", socket.AF_INET, address.network.prefixlen, 0, UNIVERSE, index)
        self._tell(DELADDR, 0, head + attribute(IFA_LOCAL, address.ip.packed))

    def add_default_route(self, gateway: IPv4Address | IPv6Address) -> None:
        """Send what is for elsewhere to `gateway`. Raises FileExistsError."""
        family = socket.AF_INET6 if isinstance(gateway, IPv6Address) else socket.AF_INET
        head = struct.pack("=BBBBBBBBI", family, 0, 0, 0, MAIN, BOOT, UNIVERSE, UNICAST, 0)
        self._tell(NEWROUTE, CREATE | EXCLUSIVE, head + attribute(RTA_GATEWAY, gateway.packed))

    def uplink(self) -> Link | None:
        """Where packets for elsewhere leave, if they do."""
        index = next((index for network, index in self._routes() if not network.prefixlen), None)
        return next((link for link in self.links().values() if link.index == index), None)

    def taken(self) -> list[IPv4Network]:
        """The networks that this namespace has routes to, and those of its addresses; the default route is none."""
        found = [network for network, _ in self._routes() if network.prefixlen]
        for part in self._ask(GETADDR, DUMP, struct.pack("=BBBBI", socket.AF_INET, 0, 0, 0, 0)):
            known = attributes(part[8:])
            if IFA_ADDRESS in known:
                found.append(IPv4Network((known[IFA_ADDRESS], part[1]), strict=False))
        return found

    def taken6(self) -> list[IPv6Network]:
        """Those of its IPv6 addresses, but for loopback and links."""
        parts = self._ask(GETADDR, DUMP, struct.pack("=BBBBI", socket.AF_INET6, 0, 0, 0, 0))
        known = ((attributes(part[8:]).get(IFA_ADDRESS), part[1]) for part in parts)
        found = [IPv6Network((address, length), strict=False) for address, length in known if address]
        return [network for network in found if not (network.is_link_local or network.is_loopback)]

    def _routes(self) -> Iterator[tuple[IPv4Network, int]]:
        head = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)
        for part in self._ask(GETROUTE, DUMP, head):
            if part[0] == socket.AF_INET and part[4] == MAIN and part[7] == UNICAST:
                known = attributes(part[12:])
                network = IPv4Network((known.get(RTA_DST, bytes(4)), part[1]), strict=False)
                yield network, struct.unpack("=I", known.get(RTA_OIF, bytes(4)))[0]


def _link(part: bytes) -> Link:
    known = attributes(part[16:])
    return Link(
        struct.unpack_from("=i", part, 4)[0],
        known[IFLA_IFNAME].rstrip(b"\0").decode(errors="replace"),
        bool(struct.unpack_from("=I", part, 8)[0] & IFF_UP),
        known.get(IFLA_OPERSTATE, b"\0")[0] == OPERSTATE_UP,
        struct.unpack("=I", known.get(IFLA_MTU, bytes(4)))[0],
        known.get(IFLA_ADDRESS, b"").hex(":"),
        struct.unpack("=I", known.get(IFLA_MASTER, bytes(4)))[0],
        os.fsdecode(known.get(IFLA_IFALIAS, b"").rstrip(b"\0")),
    )

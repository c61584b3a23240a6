"""Who has which address of a network: a file for each, in the network's folder.

A lease lives while its pair of interfaces does, which goes with the last process of the container, however that ends;
before there is a pair, whoever makes it holds the file's lock. What does not live is swept by the next who comes by,
with the ports that led to it; with its last lease a bridge goes. All changes are made `alone`: one process of this host
at a time.
"""

from __future__ import annotations

import fcntl
import os
from _socket import if_nametoindex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

from builder.networks.asked import LINE
from builder.networks.errors import NetworkError
from layers.disk import locks
from layers.quick import asdict, dataclass, field, replace
from layers.quickjson import dumps, loads
from runner.files import text

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from typing import Any

    from builder.networks.book import Networks
    from builder.networks.network import Network

LOCK = Path("/run/pybuild-networks.lock")
"""One for the host, for bridges and subnets are the host's; there only while somebody holds it. Without root: ours."""
LONGEST = len("255.255.255.255")
MOST = 1 << 20
"""Addresses that are tried at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """One end of a container in a network. `address` has its prefix length; `outer` is our interface, `inner` its own.

    `ports` are docker's; `elements` what leads to it: address or "", protocol, port. `hosts` is its /etc/hosts.
    """

    network: str
    address: str
    gateway: str
    mac: str
    outer: str
    inner: str = ""
    container: str = ""
    name: str = ""
    hostname: str = ""
    aliases: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    ports: Mapping[str, list[dict[str, str]]] = field(default_factory=dict)
    elements: tuple[tuple[str, str, int], ...] = ()
    hosts: str = ""
    address6: str = ""
    gateway6: str = ""

    @property
    def ip(self) -> str:
        """The address alone."""
        return self.address.partition("/")[0]

    @property
    def ip6(self) -> str:
        """That of IPv6, if it has one."""
        return self.address6.partition("/")[0]

    @classmethod
    def read(cls, path: Path) -> Lease:
        """A lease on disk. Raises FileNotFoundError, ValueError."""
        value: dict[str, Any] = loads(text(path))
        for key in ("aliases", "gateways"):
            value[key] = tuple(value[key])
        value["elements"] = tuple((host, protocol, port) for host, protocol, port in value["elements"])
        return cls(**value)

    def write(self, held: int) -> None:
        """Put it into its open file."""
        data = dumps(asdict(self)).encode()
        os.pwrite(held, data, 0)
        os.ftruncate(held, len(data))


@contextmanager
def alone() -> Iterator[None]:
    """Nobody else on this host changes a network meanwhile. Raises NetworkUnavailable."""
    from runner import NetworkUnavailable, rootless

    lock = LOCK if rootless.owner() is None else rootless.folder() / "networks.lock"
    with ExitStack() as stack:
        try:
            stack.enter_context(locks.alone(lock))
        except OSError as problem:
            raise NetworkUnavailable(
                f"networks cannot be changed ({problem.strerror}: {lock})", "run as root, or use --network host or none"
            ) from problem
        yield


def reserve(book: Networks, network: Network, draft: Lease, ip: str, ip6: str = "") -> tuple[Network, Lease, int]:
    """Draw an address (or take `ip`, and `ip6`) and have the bridge up; alone.

    The descriptor keeps the lease until its pair does. The network comes back because its subnet may be another one
    now. Raises NetworkMissing, NetworkError, NetworkUnavailable.
    """
    from runner.net.bridge import mac_of

    sweep_one(book, network)
    folder = book.place(network) / "leases"
    network = _free(book, book.again(network), folder)
    others = every(book, network) if network.ipv6 else []
    address = _asked(network, folder, ip) if ip else _drawn(network, folder, others, given=bool(ip6))
    if network.ipv6:
        from builder.networks import six

        gateway6 = "" if network.internal else network.gateway6
        draft = replace(draft, address6=six.interface(network, address, ip6, others), gateway6=gateway6)
    elif ip6:
        raise NetworkError(f"--ip6 {ip6}: network {network.name} has no IPv6 (pybuild network create --ipv6)")
    draft = replace(
        draft,
        network=network.id,
        address=f"{address}/{IPv4Network(network.subnet).prefixlen}",
        gateway="" if network.internal else network.gateway,
        mac=draft.mac or mac_of(address),
        outer=f"pbv{os.urandom(6).hex()}",
    )
    return network, draft, _open(folder / str(address), draft)


def hold(book: Networks, network: Network) -> tuple[Network, Path, int]:
    """Keep the bridge of a network without an address of it, until the descriptor is closed; alone.

    Raises NetworkMissing, NetworkError.
    """
    sweep_one(book, network)
    folder = book.place(network) / "leases"
    network = _free(book, book.again(network), folder)
    draft = Lease(network=network.id, address="", gateway="", mac="", outer="")
    path = folder / f"hold-{os.urandom(6).hex()}"
    return network, path, _open(path, draft)


def linger(book: Networks, network: Network) -> None:
    """Keep the bridge of a network for a while after its last container: the next start needs it, and need not wait
    until the kernel has removed one; alone.

    Whoever keeps it is a process of its own (`builder.networks.keeper`); if that is killed, the bridge is swept like
    all that does not live.
    """
    from runner.leaving import leave

    path = _lingering(book, network)
    if path.exists():
        return
    held = _open(path, Lease(network=network.id, address="", gateway="", mac="", outer=""))

    def stay() -> None:
        from builder.networks.keeper import Keeper

        os.umask(0o077)  # nobody else may ask it
        Keeper(book, network, path, held).stay()

    try:
        leave(stay, [held])
    finally:
        os.close(held)


def part(book: Networks, network: Network) -> None:
    """No longer keep a bridge for who might come; alone."""
    if (path := _lingering(book, network)).exists():
        release(book, network, path)


def _lingering(book: Networks, network: Network) -> Path:
    return book.place(network) / "leases/linger"


def release(book: Networks, network: Network, path: Path) -> None:
    """Give an address back, with its ports; the last one takes the bridge along; alone. One that is gone is well."""
    from runner.net import bridge, nft

    try:
        lease = Lease.read(path)
    except (FileNotFoundError, ValueError):
        lease = None
    rest = [other for other in _files(path.parent) if other != path]
    if not rest:
        bridge.take_down(network.bridge())
    elif lease is not None and lease.elements:
        nft.withdraw(network.bridge().table, lease.elements)
    if path == _lingering(book, network):
        (book.place(network) / LINE).unlink(missing_ok=True)  # who keeps it ends, or was killed
    path.unlink(missing_ok=True)


def outlive(book: Networks, container: str, elements: Sequence[tuple[str, str, int]] = ()) -> None:
    """Release what a former life of a container has, and whoever has ports that are ours now; alone.

    Who looked after them was killed, but the kernel has not yet taken their interfaces away.
    """
    from runner.net import bridge

    for network in book.made():
        for path in _files(book.place(network) / "leases"):
            with suppress(FileNotFoundError, ValueError):
                if not locks.is_locked(path) and _former(lease := Lease.read(path), container, elements):
                    bridge.unplug(lease.outer)
                    release(book, network, path)


def _former(lease: Lease, container: str, elements: Sequence[tuple[str, str, int]]) -> bool:
    return bool(container and lease.container == container) or any(
        clash(one, other) for one in elements for other in lease.elements
    )


def clash(one: tuple[str, str, int], other: tuple[str, str, int]) -> bool:
    """Whether only one of the two can be held: same port, and same address or one of them all of its kind."""
    (host, *port), (another, *its) = one, other
    return (
        port == its and (":" in host) == (":" in another) and (host == another or {host, another} & {"", "::"} != set())
    )


def sweep_one(book: Networks, network: Network) -> None:
    """Release what does not live; alone."""
    for path in [path for path in _files(book.place(network) / "leases") if not lives(path)]:
        release(book, network, path)


def sweep(book: Networks) -> None:
    """Release what killed processes have left in all networks; nearly free where there is none."""
    for network in book.made():
        folder = book.place(network) / "leases"
        if any(not lives(path) for path in _files(folder)):
            with alone():
                sweep_one(book, network)
                from builder.networks import names

                names.tell(book, network)


def of(book: Networks, network: Network) -> list[Lease]:
    """Those of a network that live, without those that only hold its bridge; by address."""
    folder = book.place(network) / "leases"
    found = [lease for lease in every(book, network) if lives(folder / lease.ip)]
    return sorted(found, key=lambda lease: IPv4Interface(lease.address))


def every(book: Networks, network: Network) -> list[Lease]:
    """Those of a network that have an address, alive or not."""
    found = []
    for path in _files(book.place(network) / "leases"):
        with suppress(FileNotFoundError, ValueError):
            found.append(Lease.read(path))
    return [lease for lease in found if lease.address]


def lives(path: Path) -> bool:
    """Whether its interface is there, or its maker."""
    if locks.is_locked(path):
        return True
    try:
        outer = Lease.read(path).outer
        return bool(outer and if_nametoindex(outer))
    except (OSError, ValueError):
        return False


def _open(path: Path, lease: Lease) -> int:
    held = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(held, fcntl.LOCK_EX)
    lease.write(held)
    return held


def _files(folder: Path) -> Sequence[Path]:
    try:
        return [Path(entry) for entry in os.scandir(folder)]
    except FileNotFoundError:
        return []


def _free(book: Networks, network: Network, folder: Path) -> Network:
    """The network with a subnet that can be used: one that we chose may have been taken by somebody else."""
    from runner.net import bridge
    from runner.net.rtnetlink import Netlink

    if _files(folder):
        return network
    bridge.clear()
    if network.chosen and not bridge.is_up(network.bridge()):
        with Netlink() as kernel:
            subnet = IPv4Network(network.subnet)
            if any(taken.overlaps(subnet) for taken in kernel.taken()):
                return book.settle(network)
    return network


def _asked(network: Network, folder: Path, ip: str) -> IPv4Address:
    if network.chosen:
        raise NetworkError(
            f"--ip {ip}: an address can be chosen only in a network with a subnet of your own "
            "(pybuild network create --subnet)"
        )
    address, subnet = IPv4Address(ip), IPv4Network(network.subnet)
    if address not in subnet or address in (subnet.network_address, subnet.broadcast_address):
        raise NetworkError(f"--ip {ip}: it is no address of network {network.name} ({subnet})")
    if ip == network.gateway or (folder / ip).exists():
        raise NetworkError(f"--ip {ip}: Address already in use in network {network.name}")
    return address


def _drawn(network: Network, folder: Path, others: Sequence[Lease], *, given: bool) -> IPv4Address:
    """The one after the last drawn: who has just gone may still answer to its own for a moment.

    Of `others` nobody has the IPv6 address that goes with it, unless another one was `given`.
    """
    subnet, span = IPv4Network(network.subnet), IPv4Network(network.span or network.subnet)
    taken = {path.name for path in _files(folder)}
    first, count = int(span.network_address), min(span.num_addresses, MOST)
    never = {subnet.network_address, subnet.broadcast_address, IPv4Address(network.gateway)}
    memory = folder.parent / "last"
    try:
        begin = int(IPv4Address(text(memory).strip())) - first + 1 if taken else 0
    except (FileNotFoundError, ValueError):
        begin = 0
    for at in range(count):
        address = IPv4Address(first + (begin + at) % count)
        if address in never or str(address) in taken:
            continue
        if given or not network.ipv6 or _free6(network, address, others):
            _remember(memory, str(address))
            return address
    raise NetworkError(f"no address of network {network.name} ({span}) is free")


def _remember(memory: Path, address: str) -> None:
    """In place: the disk makes us wait for a file that is cut off and written anew."""
    held = os.open(memory, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(held, address.ljust(LONGEST).encode(), 0)
    finally:
        os.close(held)


def _free6(network: Network, address: IPv4Address, others: Sequence[Lease]) -> bool:
    from builder.networks import six

    return six.free(network, address, others)

"""A bridge of this host with its rules, and processes wired to it by veth pairs.

A bridge is switched on last, so one that is on has its address and its rules. The outer end of a pair goes with the
network namespace of the process, however that ends; deleting it would make us wait for the kernel.
"""

from __future__ import annotations

import errno
import os
import time
from _thread import allocate_lock, start_new_thread
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface
from pathlib import Path

from layers.quick import dataclass
from runner.errors import NetworkUnavailable
from runner.ids import read
from runner.linux import CLONE_NEWNET, setns
from runner.net import nft, rules_program
from runner.net.rtnetlink import Netlink

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar("T")

CARRIER = 1.0
"""Seconds to wait at most until both ends of a pair carry packets; a SYN that is sent before is lost for a second."""
OURS = "network of pybuild: "
"""How the remark on a bridge begins; its folder follows."""
FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
USUAL_MTU = 1500
ELSEWHERE = "use --network host or none"


@dataclass(frozen=True, slots=True)
class Bridge:
    """How a bridge shall be. `network` is the id of its network; isolated: its containers cannot talk to each other.

    mtu: 0 means that of the way out, for what leaves must fit there. six: its IPv6 address, if it has one.
    """

    name: str
    network: str
    subnet: IPv4Network
    gateway: IPv4Address
    internal: bool = False
    masquerade: bool = True
    isolated: bool = False
    mtu: int = 0
    six: IPv6Interface | None = None

    @property
    def table(self) -> str:
        """Its table of rules."""
        return nft.table_of(self.network)


@dataclass(frozen=True, slots=True)
class Plug:
    """One end in a container: `outer` is our end's name, `inner` the container's."""

    outer: str
    inner: str
    address: IPv4Interface
    mac: str
    gateway: IPv4Address | None = None
    address6: IPv6Interface | None = None
    gateway6: IPv6Address | None = None


def mac_of(address: IPv4Address) -> str:
    """The hardware address that goes with an IP address, so that whoever gets it next is not mistaken for another."""
    return f"02:42:{address.packed.hex(':')}"


def is_up(bridge: Bridge) -> bool:
    """Whether it is there, with address and rules."""
    with Netlink() as kernel:
        link = kernel.link(bridge.name)
        return link is not None and link.on


def set_up(bridge: Bridge, home: Path) -> list[str]:
    """Make it unless it is there; sentences that its user should read. Raises NetworkUnavailable.

    `home` is the folder of its network, which is named by its id; when that has gone, so shall the bridge (`clear`).
    """
    told = []
    try:
        with Netlink() as kernel:
            link = kernel.link(bridge.name)
            if link is not None and link.on:
                return []
            if link is None:
                if busy := next((taken for taken in kernel.taken() if taken.overlaps(bridge.subnet)), None):
                    raise NetworkUnavailable(
                        f"the subnet {bridge.subnet} is not free: this machine has {busy} already",
                        "make the network anew with another --subnet",
                    )
                uplink = kernel.uplink()
                mtu = bridge.mtu or min(USUAL_MTU, uplink.mtu if uplink is not None else USUAL_MTU)
                kernel.add_bridge(bridge.name, mtu, mac_of(bridge.gateway))
                link = kernel.link(bridge.name)
                assert link is not None
                kernel.remark(link.index, f"{OURS}{home.absolute()}")
            if bridge.six is None:
                _set(f"ipv6/conf/{bridge.name}/disable_ipv6", "1")
            else:
                from runner.net import ipv6

                ipv6.enable(bridge.name)
                with suppress(FileExistsError):
                    kernel.add_address(link.index, bridge.six)
            _set(f"ipv4/conf/{bridge.name}/route_localnet", "1")
            with suppress(FileExistsError):
                kernel.add_address(link.index, IPv4Interface((bridge.gateway, bridge.subnet.prefixlen)))
            dropping = nft.raise_table(
                bridge.table,
                bridge.name,
                bridge.subnet,
                bridge.six.network if bridge.six is not None else None,
                internal=bridge.internal,
                masquerade=bridge.masquerade,
                isolated=bridge.isolated,
            )
            if not bridge.internal and FORWARD.read_text().strip() == "0":
                FORWARD.write_text("1")
                told.append(
                    "this machine forwards packets from now on (net.ipv4.ip_forward is 1): bridge networks need it; "
                    "it stays so when they have gone"
                )
            if bridge.six is not None and not bridge.internal:
                from runner.net import ipv6

                told += ipv6.forward()
            kernel.up(link.index)
    except OSError as problem:
        take_down(bridge)
        raise _unavailable("a bridge cannot be made", problem) from problem
    except NetworkUnavailable:
        take_down(bridge)
        raise
    told += [
        f"the firewall of this machine drops what it is not told to forward ({chain}): containers on {bridge.name} may "
        f"reach nothing until packets from and to {bridge.name} are accepted there"
        for chain in dropping
    ]
    return told


def clear() -> None:
    """Take down bridges that nobody is on and whose networks were deleted with their stores, unnoticed, for what kept
    them had been killed. They would be there for ever, and nobody else could have their subnets.
    """
    with Netlink() as kernel:
        links = kernel.links().values()
    masters = {link.master for link in links}
    for link in links:
        home = Path(link.alias.removeprefix(OURS))
        if link.alias.startswith(OURS) and link.index not in masters and not home.exists():
            from runner.net import ipv6

            _take_down(link.name, nft.table_of(home.name), six=ipv6.has(link.name))


def take_down(bridge: Bridge) -> None:
    """Remove it and its rules, both at once, for the kernel takes its time; nothing happens if they have gone."""
    _take_down(bridge.name, bridge.table, six=bridge.six is not None)


def _take_down(name: str, table: str, *, six: bool) -> None:
    import threading

    failed: list[BaseException] = []

    def work() -> None:
        try:
            nft.drop_table(table, six=six)
        except BaseException as problem:
            failed.append(problem)

    rules = threading.Thread(target=work, name="pybuild-rules")
    if rules_program() is not None:
        rules.start()
    try:
        with Netlink() as kernel:
            if link := kernel.link(name):
                kernel.remove(link.index)
    finally:
        if rules.ident is not None:
            rules.join()
    if failed:
        raise failed[0]


@contextmanager
def namespace(pid: int) -> Iterator[int]:
    """The network namespace of a process. Raises NetworkUnavailable if that has gone."""
    try:
        netns = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NetworkUnavailable("the process that was to join a network has ended", "start it again") from None
    except OSError as problem:
        raise _unavailable("the process has no network", problem) from problem
    try:
        yield netns
    finally:
        os.close(netns)


def plug(bridge: Bridge, netns: int, end: Plug) -> None:
    """Wire a network namespace to a bridge; returns when packets pass. Raises NetworkUnavailable."""
    try:
        with Netlink() as here, within(netns, calmed) as there:
            master = here.link(bridge.name)
            if master is None:
                raise NetworkUnavailable(f"the bridge {bridge.name} has gone", "try again")
            here.add_veth(end.outer, master.index, master.mtu, peer=end.inner, mac=end.mac, netns=netns)
            outer, inner = here.link(end.outer), there.link(end.inner)
            assert outer is not None
            assert inner is not None
            here.hairpin(outer.index)
            there.add_address(inner.index, end.address)
            if end.address6 is not None:
                from runner.net import ipv6

                within(netns, lambda: ipv6.enable(end.inner))
                there.add_address(inner.index, end.address6)
            there.up(inner.index)
            for gateway in (end.gateway, end.gateway6):
                if gateway is not None:
                    there.add_default_route(gateway)
            _carrier(here, end.outer)
            _carrier(there, end.inner)
    except OSError as problem:
        raise _unavailable(f"{end.inner} cannot be made", problem) from problem


def unplug(outer: str) -> None:
    """Take a pair away, if it is there."""
    with Netlink() as kernel:
        if link := kernel.link(outer):
            kernel.remove(link.index)


def bare(pid: int) -> None:
    """Take away all interfaces of a process but loopback, which somebody else may have begun to make."""
    with namespace(pid) as netns, within(netns, Netlink) as there:
        for link in there.links().values():
            if link.name != "lo":
                there.remove(link.index)


def redirect(pid: int, gateway: IPv4Address | None, gateway6: IPv6Address | None) -> None:
    """Lead the default routes of a process to the gateways, if it has lost them with a pair."""
    if gateway is None and gateway6 is None:
        return
    with namespace(pid) as netns, within(netns, Netlink) as there:
        if gateway is not None and there.uplink() is None:
            there.add_default_route(gateway)
        if gateway6 is not None:
            with suppress(FileExistsError):
                there.add_default_route(gateway6)


def interfaces(pid: int) -> frozenset[str]:
    """Names of the interfaces that a process sees."""
    with namespace(pid) as netns, within(netns, Netlink) as there:
        return frozenset(there.links())


def within(netns: int, action: Callable[[], T]) -> T:
    """What `action` gives inside a network namespace, which only a thread of its own enters."""
    found: list[T] = []
    failed: list[BaseException] = []
    over = allocate_lock()
    over.acquire()

    def work() -> None:
        try:
            setns(netns, CLONE_NEWNET)
            found.append(action())
        except BaseException as problem:
            failed.append(problem)
        finally:
            over.release()

    start_new_thread(work, ())
    with over:
        pass
    if failed:
        raise failed[0]
    return found[0]


def calmed() -> Netlink:
    """What speaks with the kernel about this namespace, which is made as containers have it."""
    calm()
    return Netlink()


def calm() -> None:
    """Make this namespace as containers have it: no IPv6 beyond loopback (so no router can announce itself), low ports
    for everybody, ping without rights."""
    _set("ipv6/conf/default/disable_ipv6", "1")
    _set("ipv6/conf/default/accept_ra", "0")
    _set("ipv4/ip_unprivileged_port_start", "0")
    _set("ipv4/ping_group_range", f"0 {min(_groups(), 1 << 31) - 1}")


@cache
def _groups() -> int:
    """How many groups this process knows, as always since it began."""
    return max(one.inside + one.size for one in read(Path("/proc/self/gid_map").read_text()))


def _set(name: str, value: str) -> None:
    """A setting below /proc/sys/net; a kernel without IPv6 has nothing to switch off."""
    try:
        held = os.open(f"/proc/sys/net/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(held, value.encode())
        finally:
            os.close(held)
    except FileNotFoundError:
        if not name.startswith("ipv6"):
            raise


def _carrier(kernel: Netlink, name: str) -> None:
    until = time.monotonic() + CARRIER
    while True:
        link = kernel.link(name)
        if (link is not None and link.up) or time.monotonic() > until:
            return
        time.sleep(0.0002)


def _unavailable(what: str, problem: OSError) -> NetworkUnavailable:
    if problem.errno in (errno.EPERM, errno.EACCES, errno.EROFS):
        fix = f"it takes root (CAP_NET_ADMIN) and a /proc/sys that can be written; or {ELSEWHERE}"
    elif problem.errno in (errno.EOPNOTSUPP, errno.ENODEV):
        fix = f"this kernel lacks bridge or veth; {ELSEWHERE}"
    else:
        fix = ELSEWHERE
    return NetworkUnavailable(f"{what} ({problem.strerror})", fix)

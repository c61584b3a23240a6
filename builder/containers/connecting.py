"""The networks of a container: what it asks for, what it has, and changing that while it runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from builder.containers.book import Containers
from builder.containers.container import Container
from builder.containers.errors import ContainerState
from builder.networks.errors import NetworkError
from builder.networks.wish import ALONE, GATEWAY, Member, Wish
from layers import LayerError
from layers.quick import asdict, replace
from layers.quickjson import dumps, loads
from runner.rootless import owner

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from typing import Any

    from builder.containers.settings import Settings
    from builder.networks.asked import Asked
    from builder.networks.leases import Lease
    from builder.networks.network import Network
    from layers import Store
    from runner.sandbox import Wire

SHARED = "container:"
FILE = "network.json"
"""What a container has of a bridge to itself (`builder.networks.usermode`), while it runs."""


def wishes(container: Container) -> tuple[Wish, ...]:
    """The networks it joins when it starts: as created, or as changed by connect and disconnect since."""
    try:
        found = loads((container.folder / "networks.json").read_bytes())
    except FileNotFoundError:
        return container.settings.networks
    return tuple(Wish(**{**wish, "aliases": tuple(wish["aliases"])}) for wish in found)


def ask(
    store: Store, container: Container, warn: Callable[[str], None], settings: Settings | None = None
) -> Asked | None:
    """Have its network made ready, if there is somebody who does that; for `joined`, or to be closed.

    `settings` are what a container that is still to be made will probably have.
    """
    wished = wishes(container) if settings is None else settings.networks
    if owner() is not None or not wished or wished[0].network in ALONE:
        return None
    from builder.networks.asked import Asked

    return Asked.of(store, member(container, wished, settings), warn)


@contextmanager
def joined(
    store: Store, container: Container, warn: Callable[[str], None], asked: Asked | None = None
) -> Iterator[Wire | None]:
    """What wires it to its networks, which are being made ready on entering and left on leaving; None without any."""
    if asked is not None:
        try:
            yield asked.wire
        finally:
            asked.leave()  # whoever asked waits until it has
        return
    if not (wished := wishes(container)):
        yield None
        return
    from builder.networks.home import network_for

    with closing(network_for(store, member(container, wished), warn, folder=container.folder)) as network:
        yield network.wire


def member(container: Container, wished: tuple[Wish, ...], settings: Settings | None = None) -> Member:
    """Who joins; by the `settings` that it will probably have, if it is still to be made."""
    settings = settings or container.settings
    return Member(
        wishes=wished,
        published=settings.published,
        hosts=container.folder / "files/hosts",
        container=container.id,
        name=settings.name,
        hostname=settings.known_as,
        gateways=tuple(name for name, address in settings.hosts if address == GATEWAY),
    )


@contextmanager
def shared(store: Store, container: Container) -> Iterator[tuple[int, Path] | None]:
    """The network namespace and the folder of /etc files of the container whose network it uses, if it does.

    Raises ContainerMissing, ContainerState.
    """
    mode = container.settings.network
    if not mode.startswith(SHARED):
        yield None
        return
    other = Containers(store).get(mode.removeprefix(SHARED))
    state = other.state()
    if other.id == container.id or not state.pid:
        raise ContainerState(other.name, "cannot share its network: it is not running")
    try:
        netns = os.open(f"/proc/{state.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ContainerState(other.name, "cannot share its network: it has just ended") from None
    try:
        yield netns, other.folder / "files"
    finally:
        os.close(netns)


def endpoints(store: Store, container: Container) -> list[tuple[Network, Wish | None, Lease | None]]:
    """Its networks with what it asked of them and, while it runs, what it has there."""
    if not (wished := wishes(container)):
        return []
    from builder.networks import leases
    from builder.networks.book import Networks
    from builder.networks.home import at_home

    book = Networks(store)
    running = bool(container.state().pid)
    if owner() is not None:
        from builder.networks.usermode import is_one, lease

        if is_one(wished):
            mine = lease(container.folder) if running else None
            named = None if mine is None else replace(mine, name=container.name, container=container.id)
            return [(book.get(wished[0].network), wished[0], named)]
    found: list[tuple[Network, Wish | None, Lease | None]] = []
    for wish in wished:
        with suppress(LayerError, NetworkError):  # removed since
            network = book.get(wish.network)
            members = at_home(lambda network=network: leases.of(book, network)) if running else []  # type: ignore[misc]
            found.append((network, wish, next((one for one in members if one.container == container.id), None)))
    return found


def ports(store: Store, container: Container) -> dict[str, list[dict[str, str]]]:
    """What is published of it now: docker's `NetworkSettings.Ports` without what is only exposed."""
    found: dict[str, list[dict[str, str]]] = {}
    if container.settings.published:
        for _, _, lease in endpoints(store, container):
            if lease is not None:
                found.update(lease.ports)
    return found


def ports_column(store: Store, container: Container) -> str:
    """As `ps` shows them: `0.0.0.0:8080->80/tcp, 443/tcp`."""
    if not container.state().pid:
        return ""
    published = ports(store, container)
    found = [
        (*numbered(inner), one["HostIp"], int(one["HostPort"])) for inner, outer in published.items() for one in outer
    ]
    found += [(*numbered(inner), "", 0) for inner in container.settings.exposed if inner not in published]
    return ", ".join(spans(found))


def numbered(inner: str) -> tuple[int, str]:
    """`80/tcp` as what it is sorted by."""
    port, _, protocol = inner.partition("/")
    return int(port), protocol


def spans(ports: Iterable[tuple[int, str, str, int]]) -> Iterator[str]:
    """Docker's way to show (port, protocol, address, outer port; or no address): what lies side by side as one span.

    Ports that are other ones outside come last, each for itself.
    """
    groups: dict[tuple[str, str], tuple[int, int]] = {}
    others = []
    for port, protocol, address, outer in sorted(ports):
        if address and outer != port:
            others.append(f"{at(address, str(outer))}->{port}/{protocol}")
            continue
        first, last = groups.get((address, protocol), (port, port - 1))
        if port != last + 1:
            yield _span(address, protocol, first, last)
            first = port
        groups[address, protocol] = first, port
    yield from (_span(*key, *ends) for key, ends in groups.items())
    yield from others


def _span(address: str, protocol: str, first: int, last: int) -> str:
    text = f"{first}-{last}" if last > first else f"{first}"
    return f"{at(address, text)}->{text}/{protocol}" if address else f"{text}/{protocol}"


def at(address: str, port: str) -> str:
    """`0.0.0.0:8080`, `[::]:8080`."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def settings(store: Store, container: Container) -> dict[str, Any]:
    """Docker's `NetworkSettings`."""
    from builder.networks.book import FIXED

    state = container.state()
    running = bool(state.pid)
    members = endpoints(store, container)
    outer: dict[str, list[dict[str, str]] | None] = {}
    if running:
        outer = dict.fromkeys(container.settings.exposed)
        outer.update(ports(store, container))
    fixed = {network.name: network for network in FIXED if network.name == container.settings.network}
    networks = {network.name: _endpoint(network, wish, lease) for network, wish, lease in members}
    networks.update({name: _endpoint(network, None, None) for name, network in fixed.items()})
    usual = networks.get("bridge", {})
    return {
        "Bridge": "",
        "SandboxID": container.id if running else "",
        "SandboxKey": f"/proc/{state.pid}/ns/net" if running else "",
        "Ports": outer,
        "EndpointID": usual.get("EndpointID", ""),
        "Gateway": usual.get("Gateway", ""),
        "GlobalIPv6Address": usual.get("GlobalIPv6Address", ""),
        "GlobalIPv6PrefixLen": usual.get("GlobalIPv6PrefixLen", 0),
        "IPAddress": usual.get("IPAddress", ""),
        "IPPrefixLen": usual.get("IPPrefixLen", 0),
        "IPv6Gateway": usual.get("IPv6Gateway", ""),
        "MacAddress": usual.get("MacAddress", ""),
        "Networks": networks,
    }


def _endpoint(network: Network, wish: Wish | None, lease: Lease | None) -> dict[str, Any]:
    address, _, prefix = (lease.address if lease is not None else "").partition("/")
    address6, _, prefix6 = (lease.address6 if lease is not None else "").partition("/")
    asked = {"IPv4Address": wish.ip, "IPv6Address": wish.ip6} if wish is not None else {}
    return {
        "IPAMConfig": {key: value for key, value in asked.items() if value} or None,
        "Links": None,
        "Aliases": list(wish.aliases) if wish is not None and wish.aliases else None,
        "MacAddress": lease.mac if lease is not None else "",
        "DriverOpts": None,
        "GwPriority": wish.priority if wish is not None else 0,
        "NetworkID": network.id,
        "EndpointID": lease.outer if lease is not None else "",
        "Gateway": lease.gateway if lease is not None else "",
        "IPAddress": address,
        "IPPrefixLen": int(prefix or 0),
        "IPv6Gateway": lease.gateway6 if lease is not None else "",
        "GlobalIPv6Address": address6,
        "GlobalIPv6PrefixLen": int(prefix6 or 0),
        "DNSNames": [lease.name, *lease.aliases, lease.container[:12]] if lease is not None else None,
    }


def connect(store: Store, network: Network, container: Container, wish: Wish, warn: Callable[[str], None]) -> None:
    """Let a container join one more network, at once if it runs. Raises NetworkError, ContainerState."""
    from builder.networks import leases, names
    from builder.networks.book import Networks
    from builder.networks.leases import Lease
    from runner.net import bridge

    _changeable(network, container)
    book = Networks(store)
    network = book.usable(network.name)
    with leases.alone():
        before = wishes(container)
        if any(one.network in (network.name, network.id) for one in before):
            raise NetworkError(f"container {container.name} is connected to network {network.name} already")
        state = container.state()
        # First: what has been wished can be taken back by whoever comes after a kill.
        _change(container, [*before, wish])
        if state.pid:
            from builder.networks.joining import wanted

            own = container.settings
            draft = Lease(
                network=network.id, address="", gateway="", mac=wish.mac, outer="", container=container.id,
                name=own.name, hostname=own.known_as, aliases=wish.aliases, hosts=str(container.folder / "files/hosts"),
            )  # fmt: skip
            held = -1
            try:
                taken = bridge.interfaces(state.pid)
                inner = next(name for name in (f"eth{at}" for at in range(len(taken) + 1)) if name not in taken)
                first = all(found is None for _, _, found in endpoints(store, container))
                network, lease, held = leases.reserve(book, network, draft, wish.ip, wish.ip6)
                for sentence in bridge.set_up(network.bridge(), book.place(network)):
                    warn(sentence)
                lease = replace(lease, inner=inner)
                lease.write(held)
                with bridge.namespace(state.pid) as netns:
                    bridge.plug(network.bridge(), netns, wanted(lease, default=first))
            except BaseException:
                if held >= 0:
                    leases.release(book, network, book.place(network) / "leases" / lease.ip)
                _change(container, before)
                raise
            finally:
                if held >= 0:
                    os.close(held)
            names.tell(book, network)


def disconnect(store: Store, network: Network, container: Container) -> None:
    """Take a container out of a network, at once if it runs. Raises NetworkError, ContainerState."""
    from ipaddress import IPv4Address, IPv6Address

    from builder.networks import leases, names
    from builder.networks.book import Networks
    from runner.net import bridge

    _changeable(network, container)
    book = Networks(store)
    with leases.alone():
        before = wishes(container)
        rest = [one for one in before if one.network not in (network.name, network.id)]
        if len(rest) == len(before):
            raise NetworkError(f"container {container.name} is not connected to network {network.name}")
        state = container.state()
        if state.pid:
            members = [(one, lease) for one, _, lease in endpoints(store, container) if lease is not None]
            mine = next((lease for one, lease in members if one.id == network.id), None)
            if mine is not None:
                rest_of = [lease for one, lease in members if one.id != network.id]
                ways = next((IPv4Address(one.gateway) for one in rest_of if one.gateway), None)
                ways6 = next((IPv6Address(one.gateway6) for one in rest_of if one.gateway6), None)
                bridge.unplug(mine.outer)
                bridge.redirect(state.pid, ways, ways6)
                leases.release(book, network, book.place(network) / "leases" / mine.ip)
                names.tell(book, network)
                names.forget(book, mine.hosts)
        _change(container, rest)


def renamed(store: Store, container: Container) -> None:
    """Let all in the networks of a container that runs know it by its new name. Raises NetworkUnavailable."""
    from builder.networks import leases, names
    from builder.networks.book import Networks

    book = Networks(store)
    with leases.alone():
        for network, _, lease in endpoints(store, container):
            path = book.place(network) / "leases" / (lease.ip if lease is not None else "")
            if lease is not None and path.is_file():  # a bridge to itself has no book
                held = os.open(path, os.O_RDWR | os.O_CLOEXEC)
                try:
                    replace(lease, name=container.name).write(held)
                finally:
                    os.close(held)
                names.tell(book, network)


def _changeable(network: Network, container: Container) -> None:
    if (container.folder / FILE).exists() and container.state().pid:
        raise ContainerState(container.name, "has a bridge to itself while it runs: stop it first, then connect it")
    if network.driver != "bridge":
        raise NetworkError(f"containers cannot be connected to or disconnected from network {network.name}")
    mode = container.settings.network
    if mode == "host" or mode.startswith(SHARED):
        raise ContainerState(container.name, f"its network is {mode}, for its whole life")


def _change(container: Container, wishes: Sequence[Wish]) -> None:
    draft = container.folder / f"networks.json.{os.getpid()}"
    draft.write_text(dumps([asdict(wish) for wish in wishes]))
    draft.replace(container.folder / "networks.json")

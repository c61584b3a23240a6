"""The networks of a store, by name, id or prefix of an id.

A network is a folder `networks/<id>`: its `config.json`, and a file in `leases` for each address in use. bridge, host
and none are always there; the folder of `bridge` is made when it is first used.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path

from builder.networks.errors import NetworkError, NetworkInUse, NetworkMissing
from builder.networks.network import KNOWN, NAME, Network
from layers import NameAmbiguous
from layers.disk import durable, removal
from layers.quick import dataclass, replace

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from layers import Store

POOLS = (*(IPv4Network(f"172.{number}.0.0/16") for number in range(17, 32)), *IPv4Network("192.168.0.0/16").subnets(4))
"""Where docker takes subnets from, in its order."""
VALID = r"[a-zA-Z0-9][a-zA-Z0-9_.-]*"
INTERFACE = r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,14}"
BRIDGE, HOST, NONE = "bridge", "host", "none"
FIXED = (Network(id="0" * 63 + "1", name=HOST, driver="host"), Network(id="0" * 63 + "2", name=NONE, driver="null"))
UNUSED = Network(id="0" * 63 + "3", name=BRIDGE)
"""The bridge before it is made."""


@dataclass(frozen=True)
class Networks:
    """All networks of one store."""

    store: Store

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self.store.root / "networks"

    def place(self, network: Network) -> Path:
        """The folder of one."""
        return self.folder / network.id

    def made(self) -> list[Network]:
        """Those that have a folder, by name."""
        found = []
        with suppress(FileNotFoundError):
            for path in self.folder.iterdir():
                with suppress(FileNotFoundError):
                    found.append(Network.read(path / "config.json"))
        return sorted(found, key=lambda network: network.name)

    def list(self) -> list[Network]:
        """All of them, by name."""
        made = self.made()
        unused = () if any(network.name == BRIDGE for network in made) else (UNUSED,)
        return sorted([*made, *FIXED, *unused], key=lambda network: network.name)

    def again(self, network: Network) -> Network:
        """As it is on disk now. Raises NetworkMissing."""
        try:
            return Network.read(self.place(network) / "config.json")
        except FileNotFoundError:
            raise NetworkMissing(network.name) from None

    def get(self, text: str) -> Network:
        """By name, id or id prefix. Raises NetworkMissing or NameAmbiguous."""
        everyone = self.list()
        for network in everyone:
            if text in (network.name, network.id):
                return network
        fitting = [network for network in everyone if text and network.id.startswith(text)]
        if len(fitting) > 1:
            raise NameAmbiguous(text, tuple(network.id[:16] for network in fitting))
        if not fitting:
            from difflib import get_close_matches

            raise NetworkMissing(text, tuple(get_close_matches(text, [one.name for one in everyone], 2)))
        return fitting[0]

    def usable(self, text: str) -> Network:
        """As `get`, with the bridge made if it is first used. Raises NetworkMissing, NameAmbiguous."""
        network = self.get(text)
        if network.driver != "bridge" or network.subnet:
            return network
        with self.store.lock("networks"):
            return self._subnetted(self.get(text))

    def _subnetted(self, network: Network) -> Network:
        """Itself, or the default made; under the lock."""
        return network if network.subnet else self._keep(replace(network, id="", chosen=True))

    def create(
        self,
        name: str,
        *,
        subnet: str = "",
        gateway: str = "",
        span: str = "",
        ipv6: bool = False,
        subnet6: str = "",
        gateway6: str = "",
        internal: bool = False,
        labels: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Network:
        """Make one. Raises NetworkError with what does not fit."""
        import re

        if not re.fullmatch(VALID, name):
            raise NetworkError(f"invalid network name {name!r}: only [a-zA-Z0-9][a-zA-Z0-9_.-]* is allowed")
        options = dict(options or {})
        if unknown := [key for key in options if key not in KNOWN]:
            raise NetworkError(f"--opt {unknown[0]}: not known; {', '.join(KNOWN)} are")
        if NAME in options and not re.fullmatch(INTERFACE, options[NAME]):
            raise NetworkError(f"--opt {NAME}={options[NAME]}: an interface is named by 15 characters at most")
        draft = Network(
            id="", name=name, subnet=subnet, gateway=gateway, span=span, internal=internal, labels=dict(labels or {}),
            options=options, chosen=not subnet, ipv6=ipv6, subnet6=subnet6, gateway6=gateway6, chosen6=not subnet6,
        )  # fmt: skip
        with self.store.lock("networks"):
            everyone = self.list()
            if any(network.name == name for network in everyone):
                raise NetworkError(f"network with name {name} already exists")
            if NAME in options and any(network.interface == options[NAME] for network in everyone):
                raise NetworkError(f"--opt {NAME}={options[NAME]}: another network has that bridge")
            if draft.chosen:
                self._subnetted(self.get(BRIDGE))  # which has the first subnet, as docker's has
            return self._keep(draft)

    def _keep(self, draft: Network) -> Network:
        """Check it, fill in what is open, put it on disk; under the lock."""
        others = [IPv4Network(network.subnet) for network in self.made() if network.subnet]
        from datetime import UTC, datetime

        network = replace(draft, id=os.urandom(32).hex(), created=datetime.now(UTC).isoformat().replace("+00:00", "Z"))
        if network.subnet:
            network = _addressed(network)
            asked = IPv4Network(network.subnet)
            if busy := next((other for other in [*others, *_of_machine()] if other.overlaps(asked)), None):
                raise NetworkError(f"invalid subnet {asked}: it overlaps {busy}, which is in use on this machine")
        else:
            network = settled(network, others)
        if network.ipv6:
            from builder.networks import six

            network = six.addressed(network, self.made())
        folder = self.store.session.file()
        for path in (folder, folder / "leases"):
            path.mkdir(mode=0o700)
        network.write(folder / "config.json")
        self.folder.mkdir(mode=0o700, exist_ok=True)
        folder.rename(self.place(network))
        durable.sync(self.folder)
        return network

    def settle(self, network: Network) -> Network:
        """Another subnet for one whose own was chosen and has been taken by somebody else since."""
        others = [IPv4Network(one.subnet) for one in self.made() if one.subnet and one.id != network.id]
        network = settled(network, others)
        network.write(self.place(network) / "config.json")
        return network

    def remove(self, network: Network) -> None:
        """Delete one that nobody uses. Raises NetworkError, NetworkInUse, NetworkMissing."""
        from builder.networks import leases

        if network.predefined:
            raise NetworkError(f"{network.name} is a pre-defined network and cannot be removed")
        with leases.alone():
            network = self.again(network)
            leases.sweep_one(self, network)
            if users := leases.of(self, network):
                raise NetworkInUse(
                    network.name, tuple(f"{one.name or 'a build'} {one.container[:12]}" for one in users)
                )
            leases.part(self, network)
            grave = self.store.session.file()
            self.place(network).rename(grave)
            removal.remove(os.fspath(grave))

    def tidy(self) -> None:
        """Bridges that are only kept for who might come go now, and those of stores that were deleted."""
        from builder.networks import leases
        from runner.net import bridge

        with leases.alone():
            bridge.clear()
            for network in self.made():
                leases.part(self, network)


def settled(network: Network, others: list[IPv4Network]) -> Network:
    """With a subnet that neither `others` nor this machine has. Raises NetworkError."""
    busy = [*others, *_of_machine()]
    for pool in POOLS:
        if not any(pool.overlaps(other) for other in busy):
            return _addressed(replace(network, subnet=str(pool), gateway="", chosen=True))
    raise NetworkError("all subnets of the usual pools are in use; choose one with --subnet")


def _of_machine() -> list[IPv4Network]:
    from runner.net.rtnetlink import Netlink

    with Netlink() as kernel:
        return kernel.taken()


def _addressed(network: Network) -> Network:
    """With its gateway, the first address unless it was said. Raises NetworkError."""
    from ipaddress import IPv4Address

    try:
        subnet = IPv4Network(network.subnet)
        gateway = IPv4Address(network.gateway) if network.gateway else subnet.network_address + 1
        span = IPv4Network(network.span) if network.span else subnet
    except ValueError as error:
        why = "; addresses are drawn from the IPv4 subnet" if ":" in network.span else ""
        raise NetworkError(f"invalid network config: {error}{why}") from error
    if subnet.prefixlen > 29:
        raise NetworkError(f"invalid subnet {subnet}: it has no room for containers; /29 is the smallest")
    if gateway not in subnet or gateway in (subnet.network_address, subnet.broadcast_address):
        raise NetworkError(f"invalid gateway {gateway}: it is no address of {subnet}")
    if not span.subnet_of(subnet):
        raise NetworkError(f"invalid range {span}: it lies outside {subnet}")
    return replace(network, subnet=str(subnet), gateway=str(gateway))

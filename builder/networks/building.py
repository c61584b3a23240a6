"""The networks of a build's steps: a step joins for its time, the bridge stays until the build has ended."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from builder.networks.wish import ALONE
from runner.rootless import folder, owner, standing

if TYPE_CHECKING:
    from builder.networks.network import Network
    from layers import Store
    from runner.envoy import Errand
    from runner.net.household import Household
    from runner.sandbox import Wire

BRIDGE = "bridge"


class Building:
    """Networks as one build uses them; threads may share it."""

    def __init__(self, store: Store, warn: Callable[[str], None]) -> None:
        self.store = store
        self.warn = warn
        self._held: dict[str, tuple[Network, Path, int]] = {}
        self._house: Household | Errand | None = None
        self._turn = threading.Lock()

    @contextmanager
    def joined(
        self, network: str, hosts: Path, *, hostname: str, names: tuple[tuple[str, str], ...]
    ) -> Iterator[Wire | None]:
        """What wires a step to a network, or None where it needs none. `names` are those of --add-host.

        Raises NetworkMissing, NetworkError, NetworkUnavailable.
        """
        if network in ALONE:
            yield None
            return
        from builder.networks.home import network_for
        from builder.networks.wish import GATEWAY, Member, Wish

        if owner() is None:
            self._hold(network)
        elif network != BRIDGE:
            self._stay()
        gateways = tuple(name for name, address in names if address == GATEWAY)
        member = Member(wishes=(Wish(network=network),), hosts=hosts, hostname=hostname, gateways=gateways)
        with closing(network_for(self.store, member, self.warn)) as joined:
            yield joined.wire

    def _stay(self) -> None:
        """Keep the namespace of our bridges from one step to the next."""
        from runner.envoy import Errand
        from runner.net import household

        with self._turn:
            if self._house is None:
                self._house = Errand(household.join, folder()) if standing() else household.join(folder())

    def _hold(self, name: str) -> None:
        with self._turn:
            if name not in self._held:
                from builder.networks import leases
                from builder.networks.book import Networks

                book = Networks(self.store)
                network = book.usable(name)
                with leases.alone():
                    self._held[name] = leases.hold(book, network)

    def close(self) -> None:
        """The build has ended: bridges that nobody else uses go."""
        with self._turn:
            held, self._held = self._held, {}
            house, self._house = self._house, None
        if house is not None:
            house.close()
        if held:
            from builder.networks import leases
            from builder.networks.book import Networks

            book = Networks(self.store)
            with leases.alone():
                for network, path, descriptor in held.values():
                    leases.release(book, network, path)
                    os.close(descriptor)

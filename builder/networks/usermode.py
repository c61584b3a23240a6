"""The bridge of who is not root: each process has a network to itself, which a program plays (`runner.net.usermode`).

They all have the same address, unless they ask for one, for none can be seen from another. Containers that want to talk
to each other share a network (`--network container:NAME`), publish ports, or are in networks that were made
(`builder.networks.housed`).
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from builder.networks import ports
from builder.networks.errors import NetworkError
from builder.networks.housed import tellable
from builder.networks.leases import Lease
from layers.quick import asdict
from layers.quickjson import dumps

if TYPE_CHECKING:
    from builder.networks.wish import Member, Wish
    from runner.net.usermode import Helper

BRIDGE = "bridge"
FILE = "network.json"
"""What a container that runs has of it, in its folder."""


def is_one(wishes: Sequence[Wish]) -> bool:
    """Whether it is this that somebody wants, who is not root."""
    return [one.network for one in wishes] == [BRIDGE]


class Usermode:
    """The network of one process; in place of a `Joining`. `folder`: where it is written down, if somebody asks."""

    def __init__(self, member: Member, folder: Path | None = None) -> None:
        """Hold the ports. Raises NetworkError."""
        from runner.net.plan import Plan

        (wish,) = member.wishes
        if wish.ip6:
            raise NetworkError(f"--ip6 {wish.ip6}: networks without root have IPv4 only")
        try:
            self.plan = Plan.of(wish.ip)
        except ValueError as error:
            raise NetworkError(f"--ip: {error}") from error
        tellable(member.published)
        self.mac = wish.mac
        self.folder = folder
        self.helper: Helper | None = None
        self._holding = ExitStack()
        try:
            self.held = ports.hold(member.published, "", self._holding, listened=True)
        except BaseException:
            self._holding.close()
            raise

    def wire(self, pid: int) -> None:
        """Give the process its interface, then its ports. Raises NetworkUnavailable."""
        from runner.net.usermode import INTERFACE, Forward, start

        to = str(self.plan.address.ip)
        forwards = [
            Forward(one.publish.protocol, one.publish.host or ports.EVERYWHERE, one.outer, one.publish.port, to)
            for one in self.held
        ]
        self._holding.close()  # it opens them itself
        self.helper = start(pid, plan=self.plan, mac=self.mac, forwards=forwards, folder=self.folder)
        if self.folder is not None:
            lease = Lease(
                network="",
                address=str(self.plan.address),
                gateway=self.plan.gateway,
                mac=self.mac,
                outer="",
                inner=INTERFACE,
                ports=ports.bindings(self.held),
            )
            (self.folder / FILE).write_text(dumps(asdict(lease)))

    def close(self) -> None:
        """It ends."""
        self._holding.close()
        if self.folder is not None:
            (self.folder / FILE).unlink(missing_ok=True)
        if self.helper is not None:
            self.helper.close()


def lease(folder: Path) -> Lease | None:
    """What the container of a folder has while it runs."""
    try:
        return Lease.read(folder / FILE)
    except FileNotFoundError:
        return None


def machine() -> str:
    """The address by which this machine is reached from inside. Raises NetworkError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        try:
            line.connect(("192.0.2.1", 9))  # sends nothing: it asks which way packets would go
            return str(line.getsockname()[0])
        except OSError as problem:
            raise NetworkError("host-gateway: this machine has no address beyond loopback; leave it out") from problem

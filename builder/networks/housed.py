"""Networks of somebody who is not root: bridges as ever, in a network namespace of their own (`runner.net.household`).

What is published leads from this machine to that namespace by slirp4netns, and on to the container by a bridge's rules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from builder.networks import leases, ports
from builder.networks.errors import NetworkError
from builder.networks.joining import Joining
from layers.quick import replace
from runner import rootless

if TYPE_CHECKING:
    from builder.networks.wish import Member, Publish
    from layers import Store
    from runner.net.usermode import Forward


def tellable(published: Sequence[Publish]) -> None:
    """See that slirp4netns knows the protocols. Raises NetworkError."""
    if other := next((one for one in published if one.protocol not in ("tcp", "udp")), None):
        raise NetworkError(f"{other.inner}: only ports of tcp and udp are published without root")
    if other := next((one for one in published if ":" in one.host), None):
        raise NetworkError(f"[{other.host}]: without root ports are published on IPv4 addresses only")


class Housed(Joining):
    """The networks of one process there, which is kept as long as this is not closed."""

    lingers = False

    def __init__(self, store: Store, member: Member, warn: Callable[[str], None]) -> None:
        """As a Joining; raises NetworkUnavailable, too."""
        from runner.net import household

        tellable(published := member.published)
        self._numbers: list[int] = []
        self._listening = ExitStack()
        self._house = household.join(rootless.folder())
        unpublished = replace(member, published=())
        try:
            self._house.inside(lambda: Joining.__init__(self, store, unpublished, warn))
        except BaseException:
            self._house.close()
            raise
        try:
            if published and self.door >= 0:
                self._house.inside(lambda: self._house.keep(self._known()))  # what killed processes have left
                self.held = ports.hold(published, self.binding, self._listening, listened=True)
        except BaseException:
            self.close()
            raise

    def _elements(self) -> list[tuple[str, str, int]]:
        return [("", one.publish.protocol, one.outer) for one in self.held]

    def wire(self, pid: int) -> None:
        """Give the process its interfaces; then its ports and names. Raises NetworkUnavailable."""
        self._listening.close()  # whom they are told opens them
        self._house.inside(lambda: Joining.wire(self, pid))
        self._numbers = self._house.publish(self._forwards())

    def _forwards(self) -> list[Forward]:
        from runner.net.usermode import Forward

        binding = self.binding or ports.EVERYWHERE
        return [Forward(one.publish.protocol, one.publish.host or binding, one.outer, one.outer) for one in self.held]

    def _known(self) -> Callable[[str, int], bool]:
        """Whether a port leads to somebody who lives."""
        with leases.alone():
            found = {
                (protocol, port)
                for network in self.book.made()
                for lease in leases.of(self.book, network)
                for _, protocol, port in lease.elements
            }
        return lambda protocol, port: (protocol, port) in found

    def close(self) -> None:
        """Leave."""
        self._listening.close()
        self._house.withdraw(self._numbers)
        self._house.inside(lambda: Joining.close(self))
        self._house.close()

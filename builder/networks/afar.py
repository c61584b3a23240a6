"""Networks that were made, for who stands by other numbers of users (`runner.remap`) and so has no rights over them.

They are joined by the errand of an envoy, in the usual user namespace, which leaves them when we have gone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from builder.networks.housed import Housed
from runner.envoy import Errand

if TYPE_CHECKING:
    from builder.networks.wish import Member
    from layers import Store


class Seat:
    """There: what is joined, and what is to be said of it."""

    def __init__(self, root: Path, member: Member) -> None:
        from layers import Store

        self.told: list[str] = []
        self.joined = Housed(Store.open(root), member, self.told.append)

    def wire(self, pid: int) -> list[str]:
        """Wire a process; sentences that its user should read."""
        self.joined.wire(pid)
        return self.told

    def close(self) -> None:
        """Leave."""
        self.joined.close()


class Afar:
    """Here: in place of a Joining."""

    def __init__(self, store: Store, member: Member, warn: Callable[[str], None]) -> None:
        """As a Housed; raises ConnectionError, too."""
        self._warn = warn
        self._errand = Errand(Seat, store.root, member)

    def wire(self, pid: int) -> None:
        """Give the process its interfaces, then its ports and names. Raises NetworkUnavailable."""
        for sentence in self._errand.ask("wire", pid):
            self._warn(sentence)

    def close(self) -> None:
        """Leave."""
        self._errand.close()

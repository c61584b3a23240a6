"""What attached clients have not read when a container is over: a process of its own stays until they have it.

It holds nothing of the container, neither its lock nor its files, so that whoever reads slowly, or looks through a
pager, keeps nobody from starting or removing it.
"""

from __future__ import annotations

import select
from collections.abc import Sequence

from runner.leaving import leave

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from builder.containers.switchboard import Client


def deliver(clients: Sequence[Client]) -> None:
    """Leave the rest of their output to a child."""
    waiting = {client.fileno(): client for client in clients}
    leave(lambda: _feed(waiting), list(waiting))


def _feed(clients: dict[int, Client]) -> None:
    """To their last byte, or until they go."""
    ready = select.poll()
    for descriptor in clients:
        ready.register(descriptor, select.POLLOUT)
    while clients:
        for descriptor, _ in ready.poll():
            try:
                if clients[descriptor].flush():
                    continue
            except OSError:  # it has gone
                pass
            ready.unregister(descriptor)
            clients.pop(descriptor).line.close()

"""What attached clients have not read when a container is over: a process of its own stays until they have it.

It holds nothing of the container, neither its lock nor its files, so that whoever reads slowly, or looks through a
pager, keeps nobody from starting or removing it.
"""

from __future__ import annotations

import os
import select
from collections.abc import Sequence
from itertools import pairwise

from builder.containers.terminal import part

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from builder.containers.switchboard import Client


def deliver(clients: Sequence[Client]) -> None:
    """Leave the rest of their output to a child; returns when it has let go of all else that we have open."""
    told, tell = os.pipe()
    if os.fork():
        os.close(tell)
        os.read(told, 1)
        os.close(told)
        return
    try:
        part()
        kept = sorted(client.fileno() for client in clients)
        for below, above in pairwise([2, *kept, os.sysconf("SC_OPEN_MAX")]):
            os.closerange(below + 1, above)
        _feed({client.fileno(): client for client in clients})
    finally:
        os._exit(0)


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

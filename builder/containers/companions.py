"""A container among the processes of another one (`--pid container:NAME`).

A namespace of processes belongs to a user namespace, and only in that one can its /proc be mounted: so it has the users
of the other one as well. It ends when the other one does, for the kernel ends all that is in there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from builder.containers.book import Containers
from builder.containers.errors import ContainerState
from builder.containers.settings import Settings
from runner import Ids
from runner.owners import nested

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from layers import Store


def users(store: Store, settings: Settings) -> Ids | None:
    """The numbers of the users of the other one, None for the host's. Raises ContainerMissing, ContainerState."""
    found = _users_of(_first(store, settings))
    if found is not None and nested():
        raise ContainerState(settings.companion[:12], "its processes cannot be shared: it has users of its own")
    return found


@contextmanager
def beside(store: Store, settings: Settings, ids: Ids | None) -> Iterator[int]:
    """The first process of the other one, as a descriptor.

    Raises ContainerMissing; ContainerState also if it was started anew with other users.
    """
    pid = _first(store, settings)
    try:
        held = os.pidfd_open(pid)
    except ProcessLookupError:
        raise ContainerState(settings.companion[:12], "cannot share its processes: it has just ended") from None
    try:
        if _users_of(pid) != ids:
            raise ContainerState(settings.companion[:12], "it was started anew, with other users: start this one anew")
        yield held
    finally:
        os.close(held)


def _users_of(pid: int) -> Ids | None:
    """The numbers of a process's users; None if it is in our own user namespace."""
    if os.readlink(f"/proc/{pid}/ns/user") == os.readlink("/proc/self/ns/user"):
        return None
    return Ids.of(pid)


def _first(store: Store, settings: Settings) -> int:
    other = Containers(store).get(settings.companion)
    pid = other.state().pid
    if not pid:
        raise ContainerState(other.name, "cannot share its processes: it is not running")
    return pid

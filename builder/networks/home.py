"""Where the bridges are: here, or in the network namespace that all processes of a user share who is not root."""

from __future__ import annotations

from pathlib import Path

from layers.quick import replace
from runner import rootless

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from builder.networks.afar import Afar
    from builder.networks.joining import Joining
    from builder.networks.usermode import Usermode
    from builder.networks.wish import Member
    from layers import Store

    T = TypeVar("T")


def at_home(action: Callable[[], T]) -> T:
    """What `action` gives there."""
    if rootless.owner() is None:
        return action()
    from runner.net import household

    return household.visit(rootless.folder(), action)


def network_for(
    store: Store, member: Member, warn: Callable[[str], None], *, folder: Path | None = None
) -> Joining | Usermode | Afar:
    """The networks of one process, being made ready; `folder` is its container's. Raises what a Joining does."""
    if rootless.owner() is None:
        from builder.networks.joining import Joining

        return Joining(store, member, warn)
    from builder.networks import usermode

    if usermode.is_one(member.wishes):
        return usermode.Usermode(member, folder)
    member = replace(member, gateways=())
    if rootless.standing():
        from builder.networks.afar import Afar

        return Afar(store, member, warn)
    from builder.networks.housed import Housed

    return Housed(store, member, warn)

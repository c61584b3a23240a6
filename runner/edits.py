"""What a sandbox gets because of devices that it asked for by name (`runner.cdi`)."""

from __future__ import annotations

from layers.quick import dataclass, field

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.devices import Device
    from runner.sandbox import Mount


@dataclass(frozen=True)
class Edits:
    """What a sandbox gets for some devices: nodes, mounts, variables, further groups."""

    devices: tuple[Device, ...] = ()
    mounts: tuple[Mount, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[int, ...] = ()

    def __add__(self, other: Edits) -> Edits:
        return Edits(
            tuple(dict.fromkeys((*self.devices, *other.devices))),
            tuple(dict.fromkeys((*self.mounts, *other.mounts))),
            {**self.env, **other.env},
            tuple(dict.fromkeys((*self.groups, *other.groups))),
        )

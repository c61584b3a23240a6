"""The kernel's side: one process behind walls. Knows neither Dockerfiles nor layers.

The names below are the face, looked up when first used (PEP 562): the spawner's process is of this package too, and
is the faster to start and to clone the less it has loaded. `runner.mounts`, `runner.cgroups` and `runner.native` are
imported by those who use them.
"""

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from runner.devices import ALL as ALL_DEVICES
    from runner.devices import Device, Rule
    from runner.emulators import Emulator
    from runner.errors import (
        LimitExceeded,
        LimitUnavailable,
        NetworkUnavailable,
        RunnerError,
        SandboxBroken,
        SandboxUnavailable,
    )
    from runner.ids import Ids
    from runner.limits import Limits, Usage
    from runner.owners import Footing
    from runner.sandbox import CAPABILITIES, DEFAULT_CAPABILITIES, Exit, Identity, Mount, Runtime, Sandbox

LAZY = {
    "ALL_DEVICES": "devices",
    "CAPABILITIES": "sandbox",
    "DEFAULT_CAPABILITIES": "sandbox",
    "Device": "devices",
    "Emulator": "emulators",
    "Exit": "sandbox",
    "Footing": "owners",
    "Identity": "sandbox",
    "Ids": "ids",
    "LimitExceeded": "errors",
    "LimitUnavailable": "errors",
    "Limits": "limits",
    "Mount": "sandbox",
    "NetworkUnavailable": "errors",
    "RunnerError": "errors",
    "Rule": "devices",
    "Runtime": "sandbox",
    "Sandbox": "sandbox",
    "SandboxBroken": "errors",
    "SandboxUnavailable": "errors",
    "Usage": "limits",
}
"""The names, by module."""
RENAMED = {"ALL_DEVICES": "ALL"}

__all__ = [
    "ALL_DEVICES",
    "CAPABILITIES",
    "DEFAULT_CAPABILITIES",
    "Device",
    "Emulator",
    "Exit",
    "Footing",
    "Identity",
    "Ids",
    "LimitExceeded",
    "LimitUnavailable",
    "Limits",
    "Mount",
    "NetworkUnavailable",
    "Rule",
    "RunnerError",
    "Runtime",
    "Sandbox",
    "SandboxBroken",
    "SandboxUnavailable",
    "Usage",
]


def __getattr__(name: str) -> object:
    if name not in LAZY:
        raise AttributeError(f"module 'runner' has no attribute {name!r}")
    import sys

    home = f"runner.{LAZY[name]}"
    __import__(home)
    value: object = getattr(sys.modules[home], RENAMED.get(name, name))
    globals()[name] = value
    return value

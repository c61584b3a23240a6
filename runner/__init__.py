"""The kernel's side: one process behind walls. Knows neither Dockerfiles nor layers.

The names below are the face, looked up when first used (PEP 562): the spawner's process is of this package too, and
is the faster to start and to clone the less it has loaded. `runner.mounts`, `runner.cgroups` and `runner.native` are
imported by those who use them.
"""

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from runner.errors import (
        LimitExceeded,
        LimitUnavailable,
        NetworkUnavailable,
        RunnerError,
        SandboxBroken,
        SandboxUnavailable,
    )
    from runner.limits import Limits, Usage
    from runner.sandbox import CAPABILITIES, DEFAULT_CAPABILITIES, Exit, Identity, Mount, Runtime, Sandbox

LAZY = {
    "CAPABILITIES": "sandbox",
    "DEFAULT_CAPABILITIES": "sandbox",
    "Exit": "sandbox",
    "Identity": "sandbox",
    "LimitExceeded": "errors",
    "LimitUnavailable": "errors",
    "Limits": "limits",
    "Mount": "sandbox",
    "NetworkUnavailable": "errors",
    "RunnerError": "errors",
    "Runtime": "sandbox",
    "Sandbox": "sandbox",
    "SandboxBroken": "errors",
    "SandboxUnavailable": "errors",
    "Usage": "limits",
}
"""The names, by module."""

__all__ = [
    "CAPABILITIES",
    "DEFAULT_CAPABILITIES",
    "Exit",
    "Identity",
    "LimitExceeded",
    "LimitUnavailable",
    "Limits",
    "Mount",
    "NetworkUnavailable",
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
    from importlib import import_module

    value: object = getattr(import_module(f"runner.{LAZY[name]}"), name)
    globals()[name] = value
    return value

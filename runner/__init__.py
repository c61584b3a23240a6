"""The kernel's side: one process behind walls. Knows neither Dockerfiles nor layers.

The names below are the face; `runner.mounts`, `runner.cgroups` and `runner.native` are imported when they are used,
since system calls and sockets would slow the start of commands that never run anything.
"""

from runner.errors import LimitExceeded, LimitUnavailable, RunnerError, SandboxBroken, SandboxUnavailable
from runner.limits import Limits, Usage
from runner.sandbox import (
    CAPABILITIES,
    DEFAULT_CAPABILITIES,
    Exit,
    Identity,
    Mount,
    Runtime,
    Sandbox,
)

__all__ = [
    "CAPABILITIES",
    "DEFAULT_CAPABILITIES",
    "Exit",
    "Identity",
    "LimitExceeded",
    "LimitUnavailable",
    "Limits",
    "Mount",
    "RunnerError",
    "Runtime",
    "Sandbox",
    "SandboxBroken",
    "SandboxUnavailable",
    "Usage",
]

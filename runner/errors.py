"""What can go wrong below the sandbox, as facts with attributes.

A command that ends with a failure is no error here: that is an `Exit`. These are the cases in
which the walls themselves could not be built, or a ceiling that was asked for cannot be given.
"""

import os

from layers.quick import dataclass


class RunnerError(Exception):
    """Root of everything the runner raises."""


@dataclass(eq=False)
class SandboxUnavailable(RunnerError):
    """This machine cannot give what the sandbox needs: `what` is missing, `fix` says what to do."""

    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.what}; {self.fix}"


@dataclass(eq=False)
class SpawnerLost(SandboxUnavailable):
    """The process that starts sandboxes was killed, which says nothing of what this machine can do."""

    what: str = "the process that starts sandboxes has died"
    fix: str = "look for its message above or in the kernel log"


@dataclass(eq=False)
class NetworkUnavailable(RunnerError):
    """This machine cannot give a network that was asked for: `what` is in the way, `fix` says what to do."""

    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.what}; {self.fix}"


@dataclass(eq=False)
class SandboxBroken(RunnerError):
    """Set-up of a sandbox failed at `step` with `errno`, before the command began. `detail` names the object."""

    step: str
    errno: int
    detail: str = ""

    def __str__(self) -> str:
        where = f" ({self.detail})" if self.detail else ""
        return f"sandbox set-up failed at '{self.step}'{where}: {os.strerror(self.errno)} [errno {self.errno}]"


@dataclass(eq=False)
class LimitUnavailable(RunnerError):
    """A limit was asked for that cannot be set; nothing was started.

    `controller` is the control group controller that would enforce it, "" if it is no matter of control groups.
    """

    limit: str
    controller: str
    reason: str
    fix: str = "remove the limit, or make the controller available to this process"

    def __str__(self) -> str:
        where = f"the '{self.controller}' cgroup controller" if self.controller else "it"
        return f"cannot limit {self.limit.replace('_', '-')}: {where} {self.reason}; {self.fix}"


class PauseUnavailable(LimitUnavailable):
    """A pause was asked for, and there is no control group to be stopped; `hint` says what would bring one."""

    def __init__(self, hint: str) -> None:
        super().__init__("pausing", "freezer", "is not there for this process", hint)

    def __str__(self) -> str:
        return f"it cannot be paused: it is in no control group of its own; start it anew with one: {self.fix}"


@dataclass(eq=False)
class LimitExceeded(RunnerError):
    """For callers that treat a broken ceiling as a failure: `limit` is memory, pids or time; `allowed` its value."""

    limit: str
    allowed: str

    def __str__(self) -> str:
        return f"the {self.limit} limit of {self.allowed} was exceeded; raise the limit or make the command need less"

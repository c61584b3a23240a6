"""Where a container is in its life."""

from __future__ import annotations

from layers.quick import StrEnum, asdict, dataclass
from layers.quickjson import dumps, loads

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from builder.containers.health import Health


class Status(StrEnum):
    """The states that docker names. Dead is what could not be removed."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    EXITED = "exited"
    DEAD = "dead"
    REMOVING = "removing"


ACTIVE = frozenset({Status.RUNNING, Status.PAUSED})
"""There is a process."""
LIVE = ACTIVE | {Status.RESTARTING}
"""Somebody runs it."""


@dataclass(frozen=True, kw_only=True)
class State:
    """What a supervisor last said. Times are RFC 3339; `pid` is 0 unless it runs."""

    status: Status = Status.CREATED
    pid: int = 0
    started: str = ""
    finished: str = ""
    exit_code: int = 0
    oom_killed: bool = False
    error: str = ""
    cgroup: str = ""
    memory_peak: int | None = None
    cpu_seconds: float = 0.0
    restarts: int = 0
    health: Health | None = None

    @classmethod
    def parse(cls, text: str) -> State:
        """The state as a store keeps it; a container of which nothing was said yet is merely created."""
        if not text:
            return cls()
        value = loads(text)
        if value.get("health"):
            from builder.containers.health import Health

            value["health"] = Health.of(value["health"])
        return cls(**{**value, "status": Status(value["status"])})

    def text(self) -> str:
        """As a store keeps it."""
        return dumps(asdict(self))

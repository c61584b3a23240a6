"""Where a container is in its life; replaced whole, so a reader never sees half of it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path

from builder.containers.health import Health
from layers.quick import dataclass


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


@dataclass(frozen=True, slots=True, kw_only=True)
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
    def read(cls, path: Path) -> State:
        """The state on disk; a container whose first state was never written is merely created."""
        try:
            value = json.loads(path.read_bytes())
        except FileNotFoundError:
            return cls()
        except ValueError:
            return cls(status=Status.EXITED, exit_code=137, error="its state was lost when this machine stopped")
        health = value.get("health")
        return cls(**{**value, "status": Status(value["status"]), "health": Health.of(health) if health else None})

    def write(self, path: Path) -> None:
        """Replace the state on disk."""
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        draft.write_text(json.dumps(asdict(self)))
        draft.replace(path)

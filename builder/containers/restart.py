"""When a container that has ended begins again (docker's restart policies), and how long that waits."""

from __future__ import annotations

from layers.quick import dataclass

POLICIES = ("no", "on-failure", "always", "unless-stopped")
SHORTEST, LONGEST = 0.1, 60.0
"""Seconds: the first pause and the longest."""
SETTLED = 10.0
"""Seconds after which a run counts as a success: the next pause is the shortest again."""


@dataclass(frozen=True)
class RestartPolicy:
    """`name` is one of POLICIES; `maximum` counts the restarts of on-failure, 0 for any number."""

    name: str = "no"
    maximum: int = 0

    @classmethod
    def parse(cls, text: str) -> RestartPolicy:
        """From `on-failure:3`. Raises ValueError."""
        name, colon, count = text.partition(":")
        name = name or "no"
        if name not in POLICIES:
            raise ValueError(f"unknown restart policy {name!r}; use one of {', '.join(POLICIES)}")
        if not colon:
            return cls(name)
        if name != "on-failure":
            raise ValueError(f"restart policy {text!r}: only on-failure takes a number of retries")
        if not count.isdecimal():
            raise ValueError(f"restart policy {text!r}: {count!r} is no number of retries")
        return cls(name, int(count))

    def __str__(self) -> str:
        return f"{self.name}:{self.maximum}" if self.maximum else self.name

    def wants(self, code: int, restarts: int) -> bool:
        """Whether it begins again after an end that nobody asked for, having been restarted so many times."""
        if self.name == "on-failure":
            return code != 0 and (not self.maximum or restarts < self.maximum)
        return self.name != "no"


def pause(before: float, lasted: float) -> float:
    """Seconds to wait after a run of `lasted` seconds; `before` is the last pause, 0 the first time."""
    if not before or lasted >= SETTLED:
        return SHORTEST
    return min(before * 2, LONGEST)

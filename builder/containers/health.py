"""Health checks: what an image or `--health-cmd` asks for, and what the results come to.

The rules are docker's (Dockerfile reference, "HEALTHCHECK"): a container is `starting` until a probe succeeds or too
many in a row have failed; failures within the start period do not count unless one has succeeded before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from layers.quick import dataclass, replace

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from typing import Any

SECOND = 1_000_000_000
KEPT = 5
"""Results that are remembered."""
LONGEST = 4096
"""Bytes of output that are remembered of each."""
KEYS = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start_period": "StartPeriod",
    "start_interval": "StartInterval",
    "retries": "Retries",
}
"""Our names and those of an image's config."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthcheck:
    """`test` begins with CMD, CMD-SHELL or NONE. Times are nanoseconds; 0 means docker's default."""

    test: tuple[str, ...] = ()
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0

    @classmethod
    def of(cls, config: Mapping[str, Any] | None) -> Healthcheck | None:
        """An image's Healthcheck."""
        if not config:
            return None
        times = {ours: int(config.get(theirs) or 0) for ours, theirs in KEYS.items()}
        return cls(test=tuple(map(str, config.get("Test") or ())), **times)

    def json(self) -> dict[str, Any]:
        """As an image's config has it: what is not set is left out."""
        return {"Test": list(self.test)} | {
            theirs: value for ours, theirs in KEYS.items() if (value := getattr(self, ours))
        }

    def over(self, below: Healthcheck | None) -> Healthcheck:
        """This one, with what it leaves open taken from the image's."""
        if below is None:
            return self
        mine = {name: getattr(self, name) or getattr(below, name) for name in ("test", *KEYS)}
        return Healthcheck(**mine)

    def words(self, shell: Sequence[str]) -> tuple[str, ...]:
        """What is executed; nothing if there is no check."""
        match self.test:
            case ("CMD", *rest):
                return tuple(rest)
            case ("CMD-SHELL", *rest):
                return (*shell, *rest)
        return ()

    @property
    def every(self) -> float:
        """Seconds between probes."""
        return (self.interval or 30 * SECOND) / SECOND

    @property
    def patience(self) -> float:
        """Seconds that a probe may take."""
        return (self.timeout or 30 * SECOND) / SECOND

    @property
    def grace(self) -> float:
        """Seconds after the start within which failures do not count."""
        return self.start_period / SECOND

    def gap(self, health: Health, age: float) -> float:
        """Seconds until the next probe of a container that has run for `age` seconds."""
        left = self.grace - age
        if left <= 0:
            return self.every
        if left < self.every:  # one when the start period is over
            return left
        return (self.start_interval or 5 * SECOND) / SECOND if health.status == "starting" else self.every


@dataclass(frozen=True, slots=True)
class Probe:
    """One result. Times are RFC 3339; `code` 0 is well, -1 means that it took too long or could not begin."""

    began: str
    ended: str
    code: int
    output: str


@dataclass(frozen=True, slots=True)
class Health:
    """What the probes came to: starting, healthy or unhealthy; failures in a row; the latest results."""

    status: str = "starting"
    streak: int = 0
    log: tuple[Probe, ...] = ()

    def after(self, probe: Probe, check: Healthcheck, age: float) -> Health:
        """The health after one more result, of a container that had run for `age` seconds."""
        log = (*self.log, probe)[-KEPT:]
        if probe.code == 0:
            return Health("healthy", 0, log)
        if self.status == "starting" and age < check.grace:
            return replace(self, log=log)
        streak = self.streak + 1
        return Health("unhealthy" if streak >= (check.retries or 3) else self.status, streak, log)

    def json(self) -> dict[str, Any]:
        """docker's object."""
        return {
            "Status": self.status,
            "FailingStreak": self.streak,
            "Log": [
                {"Start": one.began, "End": one.ended, "ExitCode": one.code, "Output": one.output} for one in self.log
            ],
        }

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Health:
        """From what `asdict` made of one."""
        return cls(value["status"], value["streak"], tuple(Probe(**one) for one in value["log"]))

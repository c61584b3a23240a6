"""A command behind walls that has begun: its signals, its end, and what ends it before it wants to."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, suppress

from layers.quick import dataclass, field, replace
from runner.cgroups import Cgroup
from runner.sandbox import Exit, Sandbox
from runner.spawner import Birth

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    import signal
    import threading
else:
    import _signal as signal  # the same without enumerations

GLANCE = 0.1
"""Seconds between two looks at the stop event."""


@dataclass
class Running:
    """A command behind walls that has begun. `wait` must be called once, by one thread; the rest from anywhere."""

    _birth: Birth
    cgroup: Cgroup | None = None
    _undo: ExitStack = field(default_factory=ExitStack)
    began: float = field(default_factory=time.monotonic)
    timed_out: bool = False
    _over: bool = False

    @property
    def pid(self) -> int:
        """Its number on this host."""
        return self._birth.pid

    @property
    def master(self) -> int | None:
        """Our end of its terminal, the caller's to close, or None."""
        return self._birth.master

    @property
    def refused(self) -> str:
        """Why its program could not be executed, or nothing; it ends with 126 or 127 then."""
        return self._birth.refused

    def fileno(self) -> int:
        """Readable when it has ended."""
        return self._birth.reply.fileno()

    def signal(self, number: int) -> None:
        """Send a signal to the command; nothing happens if it has gone."""
        if not self._over:  # the descriptor's number may be another's by now
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._birth.pidfd, number)

    def kill(self) -> None:
        """SIGKILL for everything behind these walls."""
        if self.cgroup is not None:
            self.cgroup.kill()
        self.signal(signal.SIGKILL)

    def wait(self) -> Exit:
        """Wait for its end, then take its walls down."""
        try:
            number, signalled, moved = self._birth.ended()
            usage = self.cgroup.usage() if self.cgroup is not None else None
            wall = time.monotonic() - self.began
            code = 128 + number if signalled else number
            found = Exit(code, number if signalled else None, timed_out=self.timed_out)
            if usage is not None:
                read, written = moved or (None, None)
                usage = replace(usage, wall_seconds=wall, read_bytes=read, written_bytes=written)
                found = replace(found, usage=usage, oom_killed=usage.oom_kills > 0)
            return found
        finally:
            self._over = True
            os.close(self._birth.pidfd)
            self._birth.reply.close()
            self._undo.close()


@dataclass
class Ending:
    """When a command has to go before it wants to: its time is over, or somebody says stop."""

    running: Running
    sandbox: Sandbox
    stop: threading.Event
    _asked: float = 0.0
    _killed: bool = False

    def patience(self) -> float:
        """Seconds that may pass until the next look."""
        if (limit := self.sandbox.limits.seconds) is None or self._asked:
            return GLANCE
        return max(min(GLANCE, self.running.began + limit - time.monotonic()), 0.001)

    def look(self) -> None:
        """Signal, and after the grace kill."""
        now = time.monotonic()
        if not self._asked:
            limit = self.sandbox.limits.seconds
            late = limit is not None and now >= self.running.began + limit
            if not late and not self.stop.is_set():
                return
            self.running.timed_out = late
            self._asked = now
            self.running.signal(self.sandbox.stop_signal)
        elif not self._killed and now >= self._asked + self.sandbox.grace:
            self._killed = True
            self.running.kill()

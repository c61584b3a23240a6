"""Runs the health check of a running container, beside its supervisor's other work."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from builder.containers.container import now
from builder.containers.health import LONGEST, Health, Healthcheck, Probe
from builder.containers.loop import Loop, Timer
from runner import RunnerError, SandboxUnavailable

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from runner.running import Running

Start = Callable[[Sequence[int]], "Running"]
"""Begins the check's command with these streams. Raises RunnerError."""


class Prober:
    """One check after the other, until `end`; every result goes to `report`."""

    def __init__(
        self, loop: Loop, check: Healthcheck, start: Start, report: Callable[[Health], None], health: Health
    ) -> None:
        self.loop = loop
        self.check = check
        self.start = start
        self.report = report
        self.health = health
        self._born = time.monotonic()
        self._next: Timer | None = None
        self._running: Running | None = None
        self._reader = -1
        self._output = bytearray()
        self._began = ""
        self._age = 0.0
        self._late: Timer | None = None
        self._expired = False

    def resume(self) -> None:
        """Probe after the next interval."""
        if self._next is None and self._running is None:
            self._next = self.loop.later(self.check.gap(self.health, time.monotonic() - self._born), self._probe)

    def end(self) -> None:
        """Probe no more, for now or for ever; a probe that runs is killed and does not count."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        if self._running is not None:
            self._running.kill()
            self._let_go()

    def _probe(self) -> None:
        self._next = None
        self._began, self._age = now(), time.monotonic() - self._born
        self._output.clear()
        self._expired = False
        with ExitStack() as given:
            try:
                nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
                given.callback(os.close, nothing)
                self._reader, writer = os.pipe()
                given.callback(os.close, writer)
                os.set_blocking(self._reader, False)
                self._running = self.start((nothing, writer, writer))
            except (RunnerError, OSError) as error:
                if self._reader >= 0:
                    os.close(self._reader)
                    self._reader = -1
                if isinstance(error, SandboxUnavailable):  # frozen for a moment, or just ended: that is no result
                    self.resume()
                else:
                    self._conclude(-1, str(error))
                return
        self.loop.watch(self._reader, self._said)
        self.loop.watch(self._running.fileno(), self._ended)
        self._late = self.loop.later(self.check.patience, self._expire)

    def _said(self) -> None:
        """Read on, whatever is kept of it; what the check left behind may hold the pipe for longer than it lives."""
        try:
            data = os.read(self._reader, 1 << 16)
        except BlockingIOError:
            return
        if data:
            self._output += data[: LONGEST + 1 - len(self._output)]
        else:
            self.loop.forget(self._reader)

    def _expire(self) -> None:
        self._expired = True
        if self._running is not None:
            self._running.kill()

    def _ended(self) -> None:
        self._said()
        code = self._let_go()
        output = self._output[:LONGEST].decode("utf-8", "replace") + ("..." if len(self._output) > LONGEST else "")
        if self._expired:
            from builder.metadata import duration

            words = f"Health check exceeded timeout ({duration(int(self.check.patience * 1e9))})"
            code, output = -1, f"{words}: {output}" if output else words
        self._conclude(code, output)

    def _let_go(self) -> int:
        assert self._running is not None
        running, self._running = self._running, None
        self.loop.forget(running.fileno())
        self.loop.forget(self._reader)
        os.close(self._reader)
        self._reader = -1
        if self._late is not None:
            self._late.cancel()
        return running.wait().code

    def _conclude(self, code: int, output: str) -> None:
        self.health = self.health.after(Probe(self._began, now(), code, output), self.check, self._age)
        self.report(self.health)
        self.resume()

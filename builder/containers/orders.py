"""The side of a container's line that answers: what other processes may ask of the one that runs the container."""

from __future__ import annotations

from builder.containers.line import LARGEST
from builder.containers.state import Status
from builder.containers.terminal import resize
from builder.errors import BuildError
from layers import LayerError
from layers.quickjson import dumps, loads
from runner import LimitUnavailable, RunnerError
from runner.sockets import Socket

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    import signal
    from typing import Any

    from builder.containers.supervise import Supervisor
else:
    import _signal as signal  # the same without enumerations

HELLO = 5.0
"""Seconds within which a caller says what it wants."""
BUSY = 0.2
"""Seconds until somebody is let in again, when there was no room for one."""


class Desk:
    """Takes orders on the supervisor's loop. Each is a method whose words are the order's; its result is the answer."""

    def __init__(self, supervisor: Supervisor, listening: Socket) -> None:
        self.supervisor = supervisor
        self.listening = listening
        self.loop = supervisor.loop
        self.still: set[Socket] = set()
        """Those for whom it shall not move."""
        self._listen()

    def _listen(self) -> None:
        if self.listening.fileno() >= 0:
            self.loop.watch(self.listening.fileno(), self._call)

    def close(self) -> None:
        """Nobody is here any more."""
        for client in list(self.supervisor.board.clients):
            self.supervisor.board.drop(client)
        for caller in self.still:
            self._hang_up(caller)
        self.loop.forget(self.listening.fileno())
        self.listening.close()

    def _call(self) -> None:
        try:
            caller = self.listening.accept()
        except BlockingIOError:
            return
        except OSError:  # as many files are open as may be: whoever calls waits until some are not
            self.loop.forget(self.listening.fileno())
            self.loop.later(BUSY, self._listen)
            return
        caller.setblocking(False)
        silence = self.loop.later(HELLO, lambda: self._hang_up(caller))

        def ready() -> None:
            silence.cancel()
            self.loop.forget(caller.fileno())
            self._serve(caller)

        self.loop.watch(caller.fileno(), ready)

    def _hang_up(self, caller: Socket) -> None:
        self.loop.forget(caller.fileno())
        caller.close()

    def _serve(self, caller: Socket) -> None:
        keep = False
        try:
            order = caller.recv(LARGEST)
            if order:
                words = loads(order)
                wanted = words.pop("do")
                answer = self._obey(wanted, words)
                caller.send(dumps(answer).encode())
                if wanted == "attach" and "error" not in answer:
                    keep = True
                    wants = {key: bool(words[key]) for key in ("output", "gives")}
                    self.supervisor.board.join(caller, **wants, detached=lambda: self.supervisor.tell("detach"))
                if wanted == "still" and "error" not in answer:
                    keep = True
                    self.still.add(caller)
                    self.loop.watch(caller.fileno(), lambda: self._go_on(caller))
        except (OSError, ValueError, KeyError):
            pass  # whoever it was has gone, or speaks another language
        finally:
            if not keep:
                caller.close()

    def _obey(self, wanted: str, words: dict[str, Any]) -> dict[str, Any]:
        action = getattr(self, f"do_{wanted}", None)
        if action is None:
            return {"error": "its supervisor is of another version and does not understand that: stop it first"}
        try:
            return {"ok": True, **(action(**words) or {})}
        except (BuildError, LayerError, RunnerError, TypeError) as error:  # TypeError: words of another version
            return {"error": str(error)}
        except OSError as error:
            return {"error": error.strerror or str(error)}

    def do_attach(self, output: bool, gives: bool) -> dict[str, Any]:
        """Streams from now on; the last packet tells the exit code. Without either it is a way to wait."""
        status = self.supervisor.state.status
        if (output or gives) and status is not Status.RUNNING:
            return {"error": f"is {status}: it cannot be attached to"}
        if output or gives:
            self.supervisor.tell("attach")
        return {"tty": self.supervisor.settings.tty}

    def do_pause(self) -> dict[str, Any]:
        """Nothing in it moves any more."""
        from runner.freezer import freeze

        boss = self.supervisor
        if boss.running is None:
            return {"error": "is restarting: wait until it runs"}
        if boss.state.status is Status.PAUSED:
            return {"error": "is already paused"}
        if boss.prober is not None:
            boss.prober.end()  # first: a frozen probe could be neither killed nor waited for
        try:
            freeze(boss.running.cgroup)
        except LimitUnavailable:
            if boss.prober is not None:
                boss.prober.resume()
            raise
        boss.record(status=Status.PAUSED)
        boss.tell("pause")
        return {}

    def do_still(self) -> dict[str, Any]:
        """Nothing in it moves until the caller has gone, whatever ends that."""
        from runner.freezer import freeze

        if self.supervisor.running is None:
            return {"error": "is restarting: wait until it runs"}
        freeze(self.supervisor.running.cgroup)
        return {}

    def _go_on(self, caller: Socket) -> None:
        self.still.discard(caller)
        self._hang_up(caller)
        if not self.still and self.supervisor.state.status is not Status.PAUSED:
            self._melt()

    def _melt(self) -> None:
        running = self.supervisor.running
        if running is not None and running.cgroup is not None:
            running.cgroup.freeze(frozen=False)

    def do_unpause(self) -> dict[str, Any]:
        """It goes on."""
        if self.supervisor.state.status is not Status.PAUSED:
            return {"error": "is not paused"}
        self.thaw()
        return {}

    def thaw(self) -> None:
        """Let it go on, if it is paused or has to stand still."""
        boss = self.supervisor
        if self.still:
            self._melt()
        if boss.running is None or boss.state.status is not Status.PAUSED:
            return
        self._melt()
        boss.record(status=Status.RUNNING)
        if boss.prober is not None:
            boss.prober.resume()
        boss.tell("unpause")

    def do_signal(self, number: int) -> dict[str, Any]:
        """A signal for its first process. The one that stops it, and SIGKILL, mean that it shall not be restarted."""
        boss = self.supervisor
        final = number in (signal.SIGKILL, boss.settings.stop_signal)
        if final:
            boss.stopped = True
        boss.tell("kill", signal=str(number))
        if boss.running is not None:
            boss.running.signal(number)
            if final:
                self.thaw()
        return {}

    def do_stop(self, number: int, grace: float | None) -> dict[str, Any]:
        """A signal, so many seconds (None: any number), then SIGKILL for everything in it."""
        self.supervisor.stopped = True
        self._end("stop", number, grace)
        return {}

    def do_restart(self, number: int, grace: float | None) -> dict[str, Any]:
        """As stop, and a start after that; a pause before a restart is cut short."""
        self.supervisor.again = True
        self.supervisor.stopped = False
        self._end("restart", number, grace)
        return {}

    def _end(self, why: str, number: int, grace: float | None) -> None:
        boss = self.supervisor
        boss.asked = why
        if boss.running is None:
            return
        boss.tell("kill", signal=str(number))
        boss.running.signal(number)
        self.thaw()
        if boss.deadline is not None:
            boss.deadline.cancel()
        boss.deadline = None if grace is None else self.loop.later(grace, self._kill)

    def _kill(self) -> None:
        boss = self.supervisor
        if boss.running is not None:
            boss.tell("kill", signal=str(int(signal.SIGKILL)))
            boss.running.kill()

    def do_resize(self, rows: int, columns: int) -> dict[str, Any]:
        """Its terminal has another size."""
        master = self.supervisor.board.master
        if master is not None:
            resize(master, rows, columns)
        return {}

    def do_updated(self) -> dict[str, Any]:
        """Its settings were written anew; limits that cannot be had while it runs are written back."""
        from runner.adjust import adjust

        boss = self.supervisor
        old, fresh = boss.settings.limits, boss.container.again()
        if boss.running is not None and fresh.settings.limits != old:
            try:
                adjust(boss.running.cgroup, old, fresh.settings.limits)
            except LimitUnavailable:
                boss.container = fresh.change(limits=old)
                raise
        boss.container = fresh
        return {}

    do_renamed = do_updated

    def do_exec(self, words: list[str], **more: Any) -> dict[str, Any]:
        """A further command that nobody waits for."""
        boss = self.supervisor
        if boss.state.status is not Status.RUNNING:
            return {"error": f"is {boss.state.status}"}
        return {"id": boss.accompany(words, **more)}

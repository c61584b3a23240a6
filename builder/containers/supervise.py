"""Runs a container: mounts its file system, starts its command, keeps its log and state until it has ended for good.

Whoever supervises holds the container's lock and answers on its line; the lock of one that was killed is free, and the
kernel has taken its mounts and processes along.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext

from builder.containers.book import Containers
from builder.containers.connecting import ask, joined, member, shared, wishes
from builder.containers.container import Container, now
from builder.containers.errors import CommandRefused, ContainerError
from builder.containers.foreground import Foreground
from builder.containers.restart import pause
from builder.containers.sandboxes import entering, expect, numbers, order
from builder.containers.settings import Settings
from builder.containers.state import State, Status
from builder.containers.telling import tell
from builder.containers.terminal import LINGER, Streams, forwarding
from builder.networks.errors import NetworkError
from layers import LayerError
from layers.home.leases import discard
from layers.quick import dataclass, field, replace
from runner import Exit, Footing, Ids, RunnerError

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from builder.containers.health import Health
    from builder.containers.journal import Nowhere, Writer
    from builder.containers.loop import Loop, Timer
    from builder.containers.memory import Hunger
    from builder.containers.orders import Desk
    from builder.containers.prober import Prober
    from builder.containers.switchboard import Switchboard
    from builder.networks.asked import Asked
    from layers import Store, Workspace
    from runner.native import Native
    from runner.running import Running


def supervise(
    store: Store,
    runtime: Native,
    container: Container,
    *,
    foreground: Foreground | None = None,
    ids: Ids | None = None,
    asked: Asked | None = None,
    claimed: bool = False,
    started: Callable[[], None] = lambda: None,
    warn: Callable[[str], None] = lambda _: None,
) -> State:
    """Run it to its end, with our own streams if in the `foreground`. `started` is called once it runs.

    `claimed`: who began us has claimed it and has handed us the lock, which is held as long as we live.
    `ids` are its numbers, if they have been drawn, and its process is expected already; `asked` is who makes its
    network ready, if somebody was asked, and is the caller's. One that was to be removed when it ends is gone then.

    Raises ContainerState if somebody else runs it, ContainerMissing if somebody removed it; AccountMissing,
    SandboxBroken, LimitUnavailable, NetworkUnavailable, NetworkError, CommandRefused if it cannot begin.
    """
    with nullcontext() if claimed else container.beginning():
        settings = container.settings
        with ExitStack() as stack:
            if not settings.remove:
                stack.callback(discard, container.folder / "files")
            stack.callback(runtime.rest)
            if ids is None:
                ids = numbers(store, settings, stack, warn)
                expect(runtime, settings, ids, store.root)
            if asked is not None and not asked.serves(guest := member(container, wishes(container))):
                if asked.has_met:
                    asked.change(guest)
                else:
                    asked.close()
                    asked = None
            if asked is None and (asked := ask(store, container, warn)) is not None:
                stack.callback(asked.close)
            if asked is not None:
                asked.meet(*runtime.met())
            footing = runtime.settle(ids, store.root)
            attached = store.snapshots.attach(
                settings.chain, container.folder, ids=footing.mapping, volatile=settings.remove
            )
            work = stack.enter_context(attached)
            if asked is not None:
                asked.meet(*runtime.met())
            supervisor = Supervisor(store, runtime, container, work, footing, foreground, started, warn, asked)
            stack.callback(supervisor.close)
            state = supervisor.live()
        if settings.remove:
            container.leave_code(state.exit_code)
            Containers(store).drop(container)
        return state


AGAIN = 0.5
"""Seconds between two attempts to say a state."""


@dataclass
class Supervisor:
    """A container's life, from its start to the end after which nobody starts it again.

    `neighbour`: who makes its network ready for the first run, if somebody does. `stopped`: somebody asked for the end.
    `again`: somebody asked for a start after the end. `asked`: by which word.
    """

    store: Store
    runtime: Native
    container: Container
    work: Workspace
    footing: Footing
    foreground: Foreground | None
    started: Callable[[], None]
    warn: Callable[[str], None]
    neighbour: Asked | None
    running: Running | None = None
    state: State = field(default_factory=State)
    stopped: bool = False
    again: bool = False
    asked: str = ""
    deadline: Timer | None = None
    prober: Prober | None = None
    hunger: Hunger | None = None
    others: dict[str, Running] = field(default_factory=dict)
    """Commands of `exec -d`, by the ids of their events."""
    missed: int = 0
    """A signal that came before there was a loop."""
    unsaid: LayerError | None = None
    """Why nobody knows the state yet."""
    loop: Loop = field(init=False)
    log: Writer | Nowhere = field(init=False)
    board: Switchboard = field(init=False)
    desk: Desk | None = None

    def __post_init__(self) -> None:
        self.state = replace(self.container.state(), restarts=0, error="")

    def sit_down(self) -> None:
        """Be there for everybody else; done while the process of the command builds its walls, for it takes as long."""
        if self.desk is not None:
            return
        from builder.containers import journal, line
        from builder.containers.loop import Loop
        from builder.containers.orders import Desk
        from builder.containers.switchboard import Switchboard

        self.loop = Loop()
        self.log = journal.writer(self.container)
        self.board = Switchboard(self.loop, self.said, input_ends=self.settings.input_ends)
        self.desk = Desk(self, line.listen(self.container.folder))
        if self.footing.why:
            self.said(2, f"pybuild: {self.footing.why}\n".encode())
        if self.missed:
            self.pass_on(self.missed)

    @property
    def settings(self) -> Settings:
        """What it was created as, and updated to."""
        return self.container.settings

    def tell(self, action: str, **attributes: str) -> None:
        """Note an event."""
        tell(self.container.folder, self.settings, action, **attributes)

    def record(self, **words: object) -> None:
        """Say a new state; where the store cannot be written, as soon as it can."""
        self.state = replace(self.state, **words)  # type: ignore[arg-type]
        self.unsaid = None
        try:
            self.container.record(self.state)
        except LayerError as problem:
            self.unsaid = problem
            if self.desk is not None:
                self.loop.later(AGAIN, self.say)

    def say(self) -> None:
        """Say the state once more, if that was in vain."""
        if self.unsaid is not None:
            self.record()

    def said(self, stream: int, data: bytes) -> None:
        """Output: into the log, and to our own streams."""
        self.log(stream, data)
        if self.foreground is not None:
            self.foreground.show(stream, data)

    def close(self) -> None:
        """Let go of everything."""
        if self.desk is not None:
            self.desk.close()
            self.log.close()
            self.loop.close()

    def live(self) -> State:
        """From the first start to the last end."""
        wait = 0.0
        with forwarding(self.pass_on):
            while True:
                begun = time.monotonic()
                exit = self.once()
                again, self.again = self.again, False
                if not again and (self.stopped or not self.settings.restart.wants(exit.code, self.state.restarts)):
                    break
                if self.neighbour is not None:
                    self.neighbour.close()
                    self.neighbour = None
                wait = 0.0 if again else pause(wait, time.monotonic() - begun)
                restarts = 0 if again else self.state.restarts + 1
                self.record(**ended(exit), status=Status.RESTARTING, restarts=restarts)
                self.die(exit)
                self.leave(exit.code)
                self.loop.run(lambda: self.stopped or self.again, seconds=wait)
                if self.stopped:
                    self.record(status=Status.EXITED)
                    return self.state
                self.again = False
        if self.settings.remove and not self.board.clients:  # it will be gone before anybody could ask
            self.state = replace(self.state, **ended(exit), status=Status.EXITED)  # type: ignore[arg-type]
        else:
            self.record(**ended(exit), status=Status.EXITED)
        self.die(exit)
        self.loop.run(lambda: not self.board.clients and not self.unsaid, seconds=LINGER)
        self.board.hand_over()
        if self.unsaid is not None:
            self.container.leave_code(exit.code)
            raise self.unsaid
        return self.state

    def once(self) -> Exit:
        """One run of its command, in its networks."""
        with ExitStack() as networks:
            return self.within(networks)

    def within(self, networks: ExitStack) -> Exit:
        """One run of its command; `networks` are left afterwards."""
        settings = self.settings
        streams = Streams(stdin=settings.interactive, terminal=settings.tty)
        try:
            wire = networks.enter_context(joined(self.store, self.container, self.warn, self.neighbour))
            sharing = networks.enter_context(shared(self.store, self.container))
            if settings.volumes and not self.state.started:
                from builder.containers.volumes import fill

                fill(self.container, self.work.root, self.footing)
            first = self.beside(networks) if settings.companion else None
            sandbox = order(self.container, self.work.root, self.footing.ids, sharing, first)
            running = self.runtime.start(sandbox, streams.given, tty=settings.tty, wire=wire, meanwhile=self.sit_down)
            streams.started()
            if running.refused:
                raise CommandRefused(settings.name, running.refused, running.wait().code)
            self.begin(running, streams)
            over: list[float] = []
            self.loop.watch(running.fileno(), lambda: self.over(over))
            self.loop.run(lambda: bool(over) and (self.board.silent or time.monotonic() > over[0] + LINGER))
        except (RunnerError, NetworkError, CommandRefused) as error:
            code = error.exit_code if isinstance(error, CommandRefused) else 125
            status = Status.EXITED if self.state.started else Status.CREATED
            self.record(status=status, pid=0, finished=now(), exit_code=code, error=str(error))
            raise
        finally:
            if self.desk is not None:
                self.board.unplug()
            streams.close()
        self.running = None
        if self.foreground is not None:
            self.foreground.release()
        if running.master is not None:
            os.close(running.master)
        return running.wait()

    def beside(self, held: ExitStack) -> int:
        """The first process of the container whose processes it sees, until `held` is closed."""
        from builder.containers.companions import beside

        return held.enter_context(beside(self.store, self.settings, self.footing.ids))

    def begin(self, running: Running, streams: Streams) -> None:
        """It runs: let everybody know."""
        self.running = running
        if self.foreground is not None:
            self.foreground.take(running, self.board, self.leave)
        self.board.plug(running, streams)
        check = self.settings.healthcheck
        words = check.words(self.settings.shell) if check is not None else ()
        health = None
        if words:
            from builder.containers.health import Health

            health = replace(self.state.health or Health(), status="starting", streak=0)
        self.record(status=Status.RUNNING, pid=running.pid, started=now(), health=health, oom_killed=False, exit_code=0)
        if self.unsaid is not None:
            raise self.unsaid
        if self.settings.limits.oom_policy == "freeze" or self.settings.oom_hook:
            from builder.containers.memory import Hunger

            self.hunger = Hunger(self, running)
        if check is not None and health is not None:
            from builder.containers.prober import Prober

            self.prober = Prober(self.loop, check, lambda given: self.enter(words, given), self.checked, health)
            self.prober.resume()
        self.tell("start")
        if self.asked == "restart":
            self.tell("restart")
        self.asked = ""
        self.started()
        self.started = lambda: None

    def over(self, over: list[float]) -> None:
        """Its command has ended; output may still come."""
        assert self.running is not None
        self.loop.forget(self.running.fileno())
        if self.neighbour is not None:
            self.neighbour.leave()
        self.board.drain()
        if self.hunger is not None:
            self.hunger.end()
            self.hunger = None
        over.append(time.monotonic())
        self.loop.later(LINGER, self.loop.wake)
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None
        if self.prober is not None:
            self.prober.end()
            self.prober = None

    def die(self, exit: Exit) -> None:
        """Note the end of a run."""
        if exit.oom_killed:
            self.tell("oom")
        self.tell("die", exitCode=str(exit.code), execDuration=str(int(exit.usage.wall_seconds)))
        if self.asked:
            self.tell("stop")
        self.board.tell_end(exit.code)

    def checked(self, health: Health) -> None:
        """A health check has come to something."""
        before = self.state.health
        self.record(health=health)
        if before is None or before.status != health.status:
            self.tell(f"health_status: {health.status}")

    def pass_on(self, number: int) -> None:
        """A signal that we got is the command's; or it ends us, and the container goes on without us."""
        if self.desk is None:
            self.missed = number
            return
        if self.foreground is not None and not self.foreground.proxy:
            self.loop.later(0, lambda: self.leave(128 + number))
        elif self.running is not None:
            self.running.signal(number)
        else:
            self.stopped = True
        self.loop.wake()

    def leave(self, code: int) -> None:
        """Let the process that was started from a shell end with this code; a child of it goes on from here."""
        if self.foreground is not None:
            foreground, self.foreground = self.foreground, None
            self.store.db.close()
            foreground.leave(code, self.board, self.runtime)

    def enter(self, words: Sequence[str], given: Sequence[int], **more: object) -> Running:
        """A further command behind the walls. Raises RunnerError."""
        assert self.running is not None
        sandbox = entering(self.container, self.running.pid, words, **more)  # type: ignore[arg-type]
        return self.runtime.exec_in(self.running.pid, sandbox, given)

    def accompany(self, words: Sequence[str], **more: object) -> str:
        """A further command that nobody waits for; the id of its events. Raises RunnerError, AccountMissing."""
        identity = os.urandom(32).hex()
        line = " ".join(words)
        self.tell(f"exec_create: {line}", execID=identity)
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            running = self.enter(words, (nothing, nothing, nothing), **more)
        finally:
            os.close(nothing)
        if running.refused:
            running.wait()
            raise ContainerError(running.refused)
        self.others[identity] = running
        self.tell(f"exec_start: {line}", execID=identity)

        def over() -> None:
            self.loop.forget(running.fileno())
            del self.others[identity]
            self.tell("exec_die", execID=identity, exitCode=str(running.wait().code))

        self.loop.watch(running.fileno(), over)
        return identity


def ended(exit: Exit) -> dict[str, object]:
    """What a state says of an end."""
    return {
        "pid": 0,
        "finished": now(),
        "exit_code": exit.code,
        "oom_killed": exit.oom_killed,
        "memory_peak": exit.usage.memory_peak,
        "cpu_seconds": exit.usage.cpu_seconds,
    }

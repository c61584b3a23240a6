"""Runs a container: mounts its file system, starts its command, keeps its log and state until it has ended.

Whoever supervises holds the container's lock; the lock of one that was killed is free, and the kernel has taken its
mounts and processes along.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from builder.containers import journal
from builder.containers.book import LIVE, PATIENCE, Container, now
from builder.containers.errors import ContainerState
from builder.containers.settings import Settings
from builder.containers.state import State, Status
from builder.containers.terminal import Sink, Streams, forwarding, pump, raw_terminal
from builder.process import environment, identity, network_files
from layers import Account, Accounts
from layers.disk.paths import Root
from runner import Mount, RunnerError, Sandbox

if TYPE_CHECKING:
    from layers import Store
    from runner.native import Native

LIMIT = 8 << 20
"""Bytes of passwd and group that are read."""


def supervise(
    store: Store,
    runtime: Native,
    container: Container,
    *,
    sink: Sink | None,
    stdin: int | None,
    started: Callable[[], None] = lambda: None,
) -> State:
    """Run it to its end; `sink` gets its output besides the log. `started` is called once it runs.

    Raises ContainerState if somebody else runs it; AccountMissing, SandboxBroken, LimitUnavailable if it cannot begin.
    """
    settings = container.settings
    with container.claim(0.0 if container.state().status in LIVE else PATIENCE) as mine, ExitStack() as stack:
        if not mine:
            raise ContainerState(container.name, "it is running already")
        (container.folder / "lock").write_bytes(b"")
        work = stack.enter_context(store.snapshots.attach(settings.chain, container.folder))
        log = journal.Writer(container.log)
        stack.callback(log.close)
        streams = Streams(stdin=settings.interactive, terminal=settings.tty)
        stack.callback(streams.close)
        sandbox = order(container, work.root)
        try:
            running = runtime.start(sandbox, streams.given, tty=settings.tty)
        except RunnerError as error:
            container.record(State(status=Status.EXITED, finished=now(), exit_code=125, error=str(error)))
            raise
        streams.started()
        state = State(status=Status.RUNNING, pid=running.pid, started=now())
        container.record(state)
        started()

        def told(stream: int, data: bytes) -> None:
            log(stream, data)
            if sink is not None:
                sink(stream, data)

        with forwarding(running), raw_terminal(running):
            pump(running, streams, told, stdin=stdin)
        exit = running.wait()
        state = replace(
            state,
            status=Status.EXITED,
            pid=0,
            finished=now(),
            exit_code=exit.code,
            oom_killed=exit.oom_killed,
            memory_peak=exit.usage.memory_peak,
            cpu_seconds=exit.usage.user_seconds + exit.usage.system_seconds,
        )
        (container.folder / "lock").write_text(str(exit.code))
        container.record(state)
        return state


def order(container: Container, root: Path) -> Sandbox:
    """What the runner is asked for."""
    settings = container.settings
    account = who(root, settings.user)
    files = container.folder / "files"
    files.mkdir(exist_ok=True)
    mounts = [
        *network_files(files, hostname=settings.hostname, hosts=settings.hosts, network=settings.network),
        *(Mount(target, kind="tmpfs", size=size) for target, size in settings.tmpfs),
        *(Mount(volume.target, Path(volume.source), readonly=volume.readonly) for volume in settings.volumes),
    ]
    covered = {mount.target for mount in mounts[3:]}
    mounts = [mount for number, mount in enumerate(mounts) if number >= 3 or mount.target not in covered]
    return Sandbox(
        root,
        settings.command,
        process_environment(settings, account),
        settings.cwd or "/",
        identity(account),
        settings.hostname,
        tuple(mounts),
        settings.network,
        frozenset(settings.capabilities),
        settings.seccomp,
        settings.no_new_privileges,
        settings.readonly,
        settings.init,
        settings.limits,
        shm_size=settings.shm_size,
        stop_signal=settings.stop_signal,
    )


def process_environment(settings: Settings, account: Account) -> dict[str, str]:
    """As docker has it: PATH, HOSTNAME, TERM with a terminal, then what was asked for, HOME last."""
    own = {"HOSTNAME": settings.hostname, **({"TERM": "xterm"} if settings.tty else {})}
    return environment([], account, own, settings.env)


def who(root: Path, user: str) -> Account:
    """USER's text in the file system's own accounts. Raises AccountMissing."""

    def read(path: str) -> bytes | None:
        try:
            return place.read(path, LIMIT)
        except OSError:
            return None

    with Root(root) as place:
        return Accounts.read(read).account(user)

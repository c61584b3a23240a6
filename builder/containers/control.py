"""Signals and waiting: what can be done to a running container from outside."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from builder.containers.book import KILLED, LIVE, LOOK, Container
from builder.containers.errors import ContainerState
from builder.containers.state import State, Status


def number_of(text: str) -> int:
    """A signal by number or name, with or without SIG. Raises ValueError."""
    if text.isdigit() and 1 <= int(text) <= 64:
        return int(text)
    try:
        return int(signal.Signals[f"SIG{text.upper().removeprefix('SIG')}"])
    except KeyError:
        raise ValueError(f"{text!r} is no signal") from None


def send(container: Container, number: int) -> None:
    """Send a signal to its first process. Raises ContainerState if it does not run."""
    state = container.state()
    if state.status not in LIVE:
        raise ContainerState(container.name, "is not running")
    try:
        pidfd = os.pidfd_open(state.pid)
    except ProcessLookupError:
        raise ContainerState(container.name, "is not running") from None
    try:
        again = container.state()  # between the two looks the number may have become another process's
        if again.status not in LIVE or again.pid != state.pid:
            raise ContainerState(container.name, "is not running")
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return
    finally:
        os.close(pidfd)


def stop(container: Container, *, grace: float) -> State:
    """Ask it to end, and after `grace` seconds end it. One that does not run is left as it is."""
    state = container.state()
    if state.status not in LIVE:
        return state
    try:
        send(container, container.settings.stop_signal)
        if (ended := until(container, grace)) is not None:
            return ended
        send(container, signal.SIGKILL)
    except ContainerState:
        pass
    return wait(container)


def until(container: Container, seconds: float) -> State | None:
    """Its state when it has ended, None if it still runs after so many seconds."""
    deadline = time.monotonic() + seconds
    while (state := container.state()).status in LIVE:
        if time.monotonic() > deadline:
            return None
        time.sleep(LOOK)
    return state


def wait(container: Container) -> State:
    """Wait for its end, when its supervisor lets go of the lock; in the lock the code outlives a container of --rm."""
    if container.state().status not in LIVE:
        return container.state()
    try:
        held = os.open(container.folder / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return container.state()
    try:
        fcntl.flock(held, fcntl.LOCK_SH)
        code = os.pread(held, 16, 0)
    finally:
        os.close(held)
    if container.folder.exists() and (state := container.state()).status is Status.EXITED:
        return state
    return State(status=Status.EXITED, exit_code=int(code or KILLED))


@contextmanager
def frozen(container: Container, *, wanted: bool) -> Iterator[None]:
    """While inside nothing of a running container moves, where this host can freeze."""
    from runner import LimitUnavailable
    from runner.cgroups import group_of

    state = container.state()
    group = group_of(state.pid) if wanted and state.status in LIVE else None
    try:
        if group is not None:
            group.freeze()
    except (LimitUnavailable, OSError):
        group = None
    try:
        yield
    finally:
        if group is not None:
            group.freeze(frozen=False)

"""What can be done to a container from outside: orders for whoever runs it, and waiting for its end."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress

from builder.containers import line
from builder.containers.container import KILLED, Container
from builder.containers.errors import ContainerState
from builder.containers.state import ACTIVE, LIVE, State, Status
from layers.quickjson import loads

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    import signal
    from typing import Any

    from builder.containers.book import Containers
else:
    import _signal as signal  # the same without enumerations

HARD = 10.0
"""Seconds within which SIGKILL ends what is not stuck in the kernel."""
LOOK = 0.005


def order(container: Container, do: str, **words: Any) -> dict[str, Any]:
    """Ask whoever runs it. Raises ContainerState if nobody does, or if that cannot be done now."""
    found = line.call(container.folder)
    if found is None:
        raise ContainerState(container.name, "is not running")
    with found:
        try:
            answer = line.ask(found, {"do": do, **words})
        except TimeoutError as error:
            raise ContainerState(
                container.name, f"its supervisor has not answered for {line.PATIENCE:.0f} seconds"
            ) from error
    if answer is None:
        raise ContainerState(container.name, "is not running")
    if "error" in answer:
        raise ContainerState(container.name, answer["error"])
    return answer


def send(container: Container, number: int) -> None:
    """Send a signal to its first process. Raises ContainerState if it does not run."""
    order(container, "signal", number=number)


def kill(container: Container) -> State:
    """SIGKILL, and wait for the end. If whoever runs it does not answer, it is ended, and the container with it.

    Raises ContainerState.
    """
    begun = container.said().started
    try:
        send(container, signal.SIGKILL)
    except ContainerState as error:
        if not isinstance(error.__cause__, TimeoutError) or not _end_supervisor(container):
            raise
    return _awaited(container, HARD, begun)


def _end_supervisor(container: Container) -> bool:
    """SIGKILL for who listens on its line and has its lock open; False if that cannot be found."""
    if (found := line.call(container.folder)) is None:
        return False
    with found, suppress(OSError):
        pid = found.peer()
        supervisor = os.pidfd_open(pid)
        try:
            lock = os.stat(container.folder / "lock")
            if any(os.path.samestat(lock, os.stat(one.path)) for one in os.scandir(f"/proc/{pid}/fd")):
                signal.pidfd_send_signal(supervisor, signal.SIGKILL)
                return True
        finally:
            os.close(supervisor)
    return False


def discard(book: Containers, container: Container, *, volumes: bool = False) -> None:
    """Kill it, if it runs, and remove it. Raises ContainerState."""

    def remove() -> None:
        with suppress(FileNotFoundError):  # it has removed itself
            book.remove(container, volumes=volumes)

    try:
        _end(container)
        remove()
    except ContainerState:
        if container.state().status not in LIVE:
            raise
        _end(container)  # somebody has just started it
        remove()


def _end(container: Container) -> None:
    try:
        if container.state().status in LIVE:
            kill(container)
    except ContainerState:
        if container.state().status in LIVE:  # else it has just ended
            raise


def stop(container: Container, *, grace: float | None = None, number: int | None = None) -> State:
    """Ask it to end, and after `grace` seconds end it; by default as its settings say, -1 waits for ever.

    One that does not run is left as it is. Raises ContainerState.
    """
    if (state := container.state()).status not in LIVE:
        return state
    patience, words = _patience(container, grace, number)
    try:
        order(container, "stop", **words)
    except ContainerState:
        if container.exists and container.state().status in LIVE:
            raise
    return _awaited(container, patience, state.started)


def restart(container: Container, *, grace: float | None = None, number: int | None = None) -> None:
    """Have whoever runs it stop it and start it again; returns when it has begun anew. Raises ContainerState."""
    before = container.state().started
    patience, words = _patience(container, grace, number)
    order(container, "restart", **words)
    until = time.monotonic() + patience + HARD
    while (state := container.state()).started == before or state.status is Status.RESTARTING:
        if state.status not in LIVE:
            raise ContainerState(container.name, f"could not be started again: {state.error}")
        if time.monotonic() > until:
            raise ContainerState(container.name, "has not come back")
        time.sleep(LOOK)


def _patience(container: Container, grace: float | None, number: int | None) -> tuple[float, dict[str, Any]]:
    seconds = container.settings.stop_timeout if grace is None else grace
    signal_number = container.settings.stop_signal if number is None else number
    if seconds < 0:
        return float("inf"), {"number": signal_number, "grace": None}
    return seconds + HARD, {"number": signal_number, "grace": seconds}


def _awaited(container: Container, seconds: float, begun: str) -> State:
    """Wait until its supervisor lets go of the lock; in the lock the code outlives a container of --rm.

    What had `begun` then has ended, too, when somebody has begun it anew.
    """
    try:
        held = os.open(container.folder / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return container.state()
    try:
        until = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if (state := container.said()).started not in ("", begun):
                    return state
                if time.monotonic() > until:
                    raise ContainerState(container.name, "was killed, but does not end: see the kernel's log") from None
                time.sleep(LOOK)
        code = os.pread(held, 16, 0)
    finally:
        os.close(held)
    if container.exists and (state := container.state()).status not in LIVE:
        return state
    return State(status=Status.EXITED, exit_code=int(code or KILLED))


def wait(container: Container) -> State:
    """Wait for its next end."""
    if (state := container.state()).status not in LIVE:
        return state
    if (found := line.call(container.folder)) is not None:
        with found:
            answer = line.ask(found, {"do": "attach", "output": False, "gives": False})
            found.settimeout(None)
            if answer is not None and (packet := _last(found)):
                return State(status=Status.EXITED, exit_code=loads(packet[1:])["code"])
    return _awaited(container, float("inf"), state.started)


def _last(found: Any) -> bytes:
    try:
        packet: bytes = found.recv(line.LARGEST)
    except ConnectionResetError:
        return b""
    return packet


@contextmanager
def frozen(container: Container, *, wanted: bool) -> Iterator[str]:
    """While inside nothing of a running container moves; a paused one stays so. Yields why it does move, if it does."""
    found = line.call(container.folder) if wanted and container.state().status in ACTIVE else None
    with found or nullcontext():
        why = ""
        if found is not None:
            try:
                why = (line.ask(found, {"do": "still"}) or {}).get("error", "")  # until we hang up, or are killed
            except TimeoutError:
                why = "its supervisor does not answer"
        yield why

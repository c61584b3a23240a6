"""Our streams attached to a container that somebody else runs."""

from __future__ import annotations

import signal
import sys
import threading
from _socket import SHUT_RDWR
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from builder.containers import line
from builder.containers.container import KILLED
from builder.containers.control import order
from builder.containers.errors import ContainerError, ContainerState
from builder.containers.foreground import feed
from builder.containers.keys import Keys
from builder.containers.state import LIVE, Status
from builder.containers.terminal import Raw, forwarding, to_ours
from layers.quickjson import loads
from runner.sockets import Socket

if TYPE_CHECKING:
    from builder.containers.container import Container

ADVICE = {
    Status.PAUSED: "is paused: unpause it first",
    Status.RESTARTING: "is restarting: wait until it runs",
}


def attach(container: Container, *, stdin: bool, output: bool = True, proxy: bool, keys: bytes) -> int | None:
    """Until it ends (its exit code) or the detach keys come (None).

    Raises ContainerState unless it runs, BrokenPipeError when nobody reads us any more.
    """
    status = container.state().status
    if status is not Status.RUNNING:
        raise ContainerState(container.name, ADVICE.get(status, "is not running: start it first"))
    gives = stdin and container.settings.interactive
    found = line.call(container.folder)
    if found is None:
        raise ContainerState(container.name, "is not running: start it first")
    with found:
        answer = line.ask(found, {"do": "attach", "output": output, "gives": gives})
        if answer is None or "error" in answer:
            raise ContainerState(container.name, (answer or {}).get("error", "has just ended"))
        found.settimeout(None)
        return _talk(container, found, answer["tty"], gives=gives, proxy=proxy, keys=keys)


def _talk(container: Container, found: Socket, terminal: bool, *, gives: bool, proxy: bool, keys: bytes) -> int | None:
    own = terminal and sys.stdin.isatty()
    typed = Keys(keys) if own else None

    def left() -> bool:  # known before the other side, which answers the keys by closing
        return typed is not None and typed.complete

    def give() -> None:
        feed(found, typed)
        if left():
            with suppress(OSError):
                found.shutdown(SHUT_RDWR)

    def told(do: str, **words: int) -> None:
        with suppress(ContainerError):
            order(container, do, **words)

    hung_up = False

    def passed(number: int) -> None:
        nonlocal hung_up
        told("signal", number=number)
        if own and number == signal.SIGHUP:  # nobody sees it any more
            hung_up = True
            with suppress(OSError):
                found.shutdown(SHUT_RDWR)

    raw = Raw.enter(lambda rows, columns: told("resize", rows=rows, columns=columns), keys=gives) if own else None
    try:
        if gives:
            threading.Thread(target=give, name="pybuild-stdin", daemon=True).start()
        if not proxy:
            return _listen(container, found, left)
        with forwarding(passed):
            code = _listen(container, found, left)
            return 128 + signal.SIGHUP if hung_up else code
    finally:
        if raw is not None:
            raw.leave()


def _listen(container: Container, found: Socket, left: Callable[[], bool]) -> int | None:
    while True:
        try:
            packet = found.recv(line.LARGEST)
        except ConnectionResetError:  # told once, if it closed before it read our input; what it said is still there
            continue
        except OSError:
            packet = b""
        if left():
            return None
        kind = packet[:1]
        if kind == line.ENDED:
            code: int = loads(packet[1:])["code"]
            return code
        if not packet:  # its supervisor was killed
            state = container.state() if container.exists else None
            return KILLED if state is None or state.status in LIVE else state.exit_code
        to_ours(int(kind), packet[1:])

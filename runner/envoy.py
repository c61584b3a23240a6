"""A process of ours that stays in the usual user namespace when we go on to stand by another map (`runner.remap`).

Whoever has gone there cannot come back, and has no rights over what belongs to the usual namespace, such as the network
namespace that all processes of a user share. So the envoy is forked before. Each `Errand` is a child of it, in which an
object lives whose methods we call; when we have gone, however hard, it is closed there, and the envoy ends.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn, Protocol

from runner.linux import close_from

IGNORED = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)
"""Signals that a terminal or a user sends to all processes of a command; what they mean for us, we say."""
LINE = 3
"""The descriptor of the envoy's end, which takes orders."""
_line: list[socket.socket] = []


class Closing(Protocol):
    """What an errand can be about."""

    def close(self) -> object:
        """End it."""
        ...


class Errand:
    """An object that lives with the envoy. Only what can be pickled goes there and comes back."""

    def __init__(self, make: Callable[..., Closing], *words: object) -> None:
        """Have it made there by a function or class of a module. Raises what that raises."""
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(_line[0], [b"errand"], [theirs.fileno()])
        with ours:
            self._line = ours.makefile("rwb")
        try:
            self._told((make, words))
        except BaseException:
            self._line.close()
            raise

    def ask(self, method: str, *words: object) -> Any:
        """What a method of it gives. Raises what that raises, and ConnectionError if it has died."""
        return self._told((method, words))

    def close(self) -> None:
        """Have it closed; nothing happens the second time. Raises what that raises."""
        if not self._line.closed:
            with self._line, suppress(ConnectionError):
                self.ask("close")

    def _told(self, order: object) -> Any:
        import pickle

        try:
            pickle.dump(order, self._line)
            self._line.flush()
            answer = pickle.load(self._line)
        except (EOFError, OSError) as problem:
            with suppress(OSError):  # what could not be said is not said now
                self._line.close()
            raise ConnectionError("the process that does things in the usual user namespace has died") from problem
        if len(answer) == 1:
            return answer[0]
        kind, words, attributes = answer
        raised = kind.__new__(kind, *words)
        raised.__dict__.update(attributes)
        raise raised


def leave_behind() -> None:
    """Fork it, in the usual user namespace; before threads."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        try:
            _wait(theirs)
        finally:
            os._exit(1)
    theirs.close()
    _line.append(ours)


def _wait(line: socket.socket) -> NoReturn:
    """The envoy's life."""
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # its children need nobody to wait for them
    os.dup2(line.detach(), LINE)
    close_from(LINE + 1)
    os.chdir("/")
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for place in range(3):
        os.dup2(nothing, place)
    os.close(nothing)
    os.set_inheritable(LINE, False)
    orders = socket.socket(fileno=LINE)
    while True:
        message, (*given,), _, _ = socket.recv_fds(orders, 16, 1, socket.MSG_CMSG_CLOEXEC)
        if not message:
            os._exit(0)
        if os.fork() == 0:
            orders.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _serve(given[0])
        os.close(given[0])


def _serve(line: int) -> NoReturn:
    """One errand, to its end."""
    import pickle

    about: Closing | None = None
    try:
        with socket.socket(fileno=line) as ours, ours.makefile("rwb") as talk:
            while True:
                method, words = pickle.load(talk)
                try:
                    if about is None:
                        about, value = method(*words), None
                    else:
                        value = getattr(about, method)(*words)
                    if method == "close":
                        about = None
                    answer: tuple[Any, ...] = (value,)
                except BaseException as problem:
                    answer = type(problem), problem.__reduce__()[1], problem.__dict__
                pickle.dump(answer, talk)
                talk.flush()
    except (EOFError, OSError):
        pass
    finally:
        try:
            if about is not None:
                about.close()
        finally:
            os._exit(0)

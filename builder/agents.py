"""A way to an SSH agent that leads to the use of its keys only (draft-miller-ssh-agent).

A RUN gets a socket of our own, with the owner and mode that it asked for. Questions for keys and signatures are passed
on to the real agent; whatever would change the agent (add, remove, lock, extensions) is refused here.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from runner.remap import oneself

REQUEST_IDENTITIES, SIGN_REQUEST = 11, 13
FAILURE = b"\0\0\0\1\5"
LARGEST = 256 << 10
"""Bytes of one message, as with OpenSSH."""
MOST = 32
"""Connections at the same time; a command that wants more finds them closed."""


class AgentProxy:
    """A socket at `path` that stands for the agent at `agent` while inside. A context manager."""

    def __init__(self, path: Path, agent: Path, *, mode: int, uid: int, gid: int) -> None:
        self._agent = agent
        self._open: set[socket.socket] = set()
        self._over = False
        self._threads: list[threading.Thread] = []
        self._turn = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX)
        with _short(path) as name:
            self._listener.bind(name)
        os.chmod(path, mode)
        os.chown(path, uid, gid)
        self._listener.listen(16)

    def __enter__(self) -> Self:
        self._begin(self._accept)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._turn:
            self._over = True
            ends = [self._listener, *self._open]
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        for thread in self._threads:
            thread.join()

    def _begin(self, what: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=what, args=args, daemon=True, name="pybuild-agent")
        self._threads = [*(one for one in self._threads if one.is_alive()), thread]
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                client, _ = self._listener.accept()
                agent = socket.socket(socket.AF_UNIX)
                with self._turn:
                    if self._over or len(self._open) >= 2 * MOST:
                        client.close()
                        agent.close()
                        continue
                    self._open |= {client, agent}
                self._begin(self._talk, client, agent)

    def _talk(self, client: socket.socket, agent: socket.socket) -> None:
        try:
            with suppress(OSError, EOFError), _short(self._agent) as name:
                with oneself():
                    agent.connect(name)
                while True:
                    message = _message(client)
                    if message[4:5] and message[4] in (REQUEST_IDENTITIES, SIGN_REQUEST):
                        agent.sendall(message)
                        client.sendall(_message(agent))
                    else:
                        client.sendall(FAILURE)
        finally:
            with self._turn:
                self._open -= {client, agent}
            client.close()
            agent.close()


def _message(end: socket.socket) -> bytes:
    """One message with its length. Raises EOFError at the end, and for one that is too long."""
    head = _exactly(end, 4)
    (size,) = struct.unpack(">I", head)
    if size > LARGEST:
        raise EOFError
    return head + _exactly(end, size)


def _exactly(end: socket.socket, size: int) -> bytes:
    found = bytearray()
    while len(found) < size:
        piece = end.recv(size - len(found))
        if not piece:
            raise EOFError
        found += piece
    return bytes(found)


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name of a socket that fits into its 107 bytes, however long the path is."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)

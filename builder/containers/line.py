"""How other processes speak with the one that runs a container: a socket in the container's folder.

A packet (SOCK_SEQPACKET) from a client is an order in JSON, `{"do": "pause"}`; the answer is `{"ok": true}` or an
error. After `attach` packets are streams: their first byte says which. The folder is its owner's alone, and so is the
socket.
"""

from __future__ import annotations

from pathlib import Path

from layers.quickjson import dumps, loads
from runner.sockets import Socket

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from typing import Any

NAME = "line"
LARGEST = 1 << 16
"""Bytes of a packet at most."""
PIECE = LARGEST - 1
"""Bytes of a stream in one packet."""
INPUT, STDOUT, STDERR, END_OF_INPUT, DETACH, ENDED = b"0", b"1", b"2", b"e", b"d", b"x"
"""First bytes of packets of an attached client (0, e, d) and to it (1, 2, x)."""
PATIENCE = 10.0
"""Seconds within which an order is answered."""


def listen(folder: Path) -> Socket:
    """The end of whoever runs the container in `folder`; holds its lock, so what is there is of one that died."""
    return Socket.listening(folder, NAME)


def call(folder: Path) -> Socket | None:
    """A client's end; None if nobody runs the container."""
    return Socket.calling(folder, NAME, PATIENCE)


def ask(line: Socket, order: dict[str, Any]) -> dict[str, Any] | None:
    """Give an order; the answer, or None if the other side has gone. Raises TimeoutError."""
    try:
        line.send(dumps(order).encode())
        answer = line.recv(LARGEST)
    except (BrokenPipeError, ConnectionResetError):
        return None
    found: dict[str, Any] | None = loads(answer) if answer else None
    return found

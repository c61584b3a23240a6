"""A line to a server that breaks on demand: a TCP proxy on 127.0.0.1 that cuts or swallows, once when it is told."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Wire:
    """Connections to `host` go through. A cut closes both sides.

    cut_after: bytes of one connection to the server after which it is cut. swallow: how an answer begins that is
    kept from the client. Both are forgotten when it has happened; `cuts` counts.
    """

    def __init__(self, host: str) -> None:
        name, _, port = host.rpartition(":")
        self._target = (name, int(port))
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self.cut_after: int | None = None
        self.swallow: bytes | None = None
        self.cuts = 0
        self._turn = threading.Lock()

    def __enter__(self) -> Wire:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(self._target)
                threading.Thread(target=self._carry, args=(near, far, True), daemon=True).start()
                threading.Thread(target=self._carry, args=(far, near, False), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, out: bool) -> None:
        moved = 0
        with suppress(OSError):
            while data := source.recv(1 << 16):
                moved += len(data)
                if self._breaks(data, moved, out=out):
                    break
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _breaks(self, data: bytes, moved: int, *, out: bool) -> bool:
        """True if this is where it is to be cut."""
        with self._turn:
            if out and self.cut_after is not None and moved > self.cut_after:
                self.cut_after = None
            elif not out and self.swallow is not None and data.startswith(self.swallow):
                self.swallow = None
            else:
                return False
            self.cuts += 1
            return True

"""The registry on a socket: a thread for each connection, no more than MOST of them, and an orderly end.

The standard library's HTTP server is not used beyond its accept loop: its reading of requests is lenient about where a
body ends, answers `Expect` before anybody has looked at the request, and asks the DNS for a name when it starts.
"""

from __future__ import annotations

import socketserver
import threading
import time
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from layers import LayerError, Store
from registry.server.address import Address
from registry.server.connection import Connection, House
from registry.server.errors import CannotServe
from registry.server.htpasswd import Htpasswd
from registry.server.shelf import Shelf

if TYPE_CHECKING:
    import ssl

MOST = 256
"""Connections at the same time; further ones wait in the kernel's queue. Each may hold a file open beside itself."""
GRACE = 10.0
"""Seconds that requests which are being answered get when the server ends."""


class RegistryServer:
    """A store, served from entering to leaving. Raises CannotServe if the address cannot be had."""

    def __init__(
        self,
        store: Store,
        address: Address,
        *,
        writable: bool = True,
        deletable: bool = True,
        guard: Htpasswd | None = None,
        tls: ssl.SSLContext | None = None,
        log: Callable[[str], None] | None = None,
        report: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.shelf = Shelf(store, writable, deletable)
        self._house = House(self.shelf, guard, tls, log, report)
        self._live: set[Connection] = set()
        self._change = threading.Condition()
        self._ending = False
        try:
            self._listener = Listener(address, self)
        except OSError as error:
            raise CannotServe(
                str(address), "cannot listen there", help="choose another with --listen or --port"
            ) from error
        host, port = self._listener.server_address[:2]
        self.address = Address(address.host or str(host), port)
        """Where it listens, with the port that was chosen in place of 0."""
        self._thread = threading.Thread(
            target=self._listener.serve_forever, args=(0.1,), name="pybuild-registry", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take no new connection, finish what is being answered, drop the rest."""
        if self._thread.is_alive():
            self._listener.shutdown()
            self._thread.join()
        self._listener.server_close()
        until = time.monotonic() + GRACE
        with self._change:
            self._ending = True
            for connection in self._live:
                if not connection.busy:
                    connection.hang_up()
            self._change.wait_for(lambda: not self._live, until - time.monotonic())
            for connection in self._live:
                connection.hang_up()
            self._change.wait_for(lambda: not self._live, 1.0)
        self.shelf.uploads.close()

    def serve(self, connection: Connection) -> None:
        """Answer one connection, in the thread that is its own."""
        with self._change:
            self._live.add(connection)
        try:
            connection.serve(self._go_on)
        finally:
            with self._change:
                self._live.discard(connection)
                self._change.notify_all()

    def connect(self, sock: Any, peer: Any) -> Connection:
        """A connection that was accepted."""
        return Connection(self._house, sock, str(peer[0]))

    def report(self, text: str) -> None:
        """Tell what went wrong on our side."""
        self._house.report(text)

    def crowded(self) -> bool:
        """True if no further connection is taken now."""
        return len(self._live) >= MOST

    def _go_on(self, connection: Connection) -> bool:
        with self._change:
            connection.busy = False
            return not self._ending


class Listener(socketserver.ThreadingTCPServer):
    """The accept loop."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: Address, owner: RegistryServer) -> None:
        self.owner = owner
        self.address_family, where = address.resolve()
        super().__init__(where, None)  # type: ignore[arg-type]

    def get_request(self) -> Any:
        """Accept, if there is room; else the loop looks after other things and comes back."""
        if self.owner.crowded():
            time.sleep(0.02)
            raise BlockingIOError
        return super().get_request()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread."""
        self.owner.serve(self.owner.connect(request, client_address))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A thread failed before it could answer."""
        self.owner.report(traceback.format_exc())

    def service_actions(self) -> None:
        """Between two connections, some ten times a second."""
        try:
            self.owner.shelf.tidy()
        except (LayerError, OSError):  # a disk that is full for now must not end the accept loop
            self.owner.report(traceback.format_exc())

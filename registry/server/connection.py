"""One client's connection: its requests, one after the other, and their answers.

Whatever happens, an answer is whole or the connection ends. A request that is refused before its body was read does not
poison the next one: a short rest is read and forgotten, a long one is not waited for.
"""

from __future__ import annotations

import socket
import ssl
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus

from layers import StoreFull
from layers.quick import dataclass
from registry.server.faults import Fault
from registry.server.htpasswd import Htpasswd
from registry.server.messages import Answer, Request
from registry.server.routes import answer
from registry.server.shelf import Shelf
from registry.server.wire import PATIENCE, PIECE, Body, Gone, Head, Malformed, Wire

REST = 64 << 10
"""Bytes of an unread body that are read so that the connection can be used again."""
LINGER = 3.0
"""Seconds in which a client may go on sending what is not wanted, so that it sees the answer."""
HANDSHAKE = 15.0
BARE = frozenset({204, 304})
"""Statuses without a body."""


@dataclass(frozen=True, slots=True)
class House:
    """What all connections share. `log` is told a line for each request, `report` what went wrong on our side."""

    shelf: Shelf
    guard: Htpasswd | None
    tls: ssl.SSLContext | None
    log: Callable[[str], None] | None
    report: Callable[[str], None]


class Connection:
    """A connection that was accepted; `busy` while a request is being answered."""

    def __init__(self, house: House, sock: socket.socket, peer: str) -> None:
        self.busy = False
        self._house = house
        self._sock = sock
        self._peer = peer

    def serve(self, go_on: Callable[[Connection], bool]) -> None:
        """Answer until the client, a mistake or `go_on` (asked before each request) ends it."""
        try:
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._house.tls is not None:
                self._sock.settimeout(HANDSHAKE)
                self._sock = self._house.tls.wrap_socket(self._sock, server_side=True, do_handshake_on_connect=False)
                self._sock.do_handshake()
            wire = Wire(self._sock)
            while go_on(self) and self._one(wire):
                pass
        except (OSError, Gone):
            pass  # the client is not there any more, or never spoke TLS
        finally:
            self._sock.close()

    def hang_up(self) -> None:
        """End it from another thread."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def _one(self, wire: Wire) -> bool:
        """One request; True if another one may follow. Raises OSError, Gone."""
        try:
            head = wire.head()
        except Malformed as fault:
            self._send(fault_answer(fault), None, keep=False)
            return self._linger()
        if head is None:
            return False
        self.busy = True
        began = time.monotonic()
        body = None
        whole = True
        user = "-"
        try:
            body = Body(wire, head)
            request = Request.of(head, body)
            if self._house.guard is not None:
                user = self._house.guard.check(head.headers.get("authorization"))
            found = answer(self._house.shelf, request)
        except Malformed as fault:
            found, whole = fault_answer(fault), False
        except Fault as fault:
            found = fault_answer(fault)
        except StoreFull as error:
            found = fault_answer(Fault("UNKNOWN", str(error), status=507))
        except TimeoutError:
            found, whole = fault_answer(Fault("UNKNOWN", "the rest of the request did not come", status=408)), False
        except Gone:
            self._tell(head, user, 499, 0, began)
            raise
        except Exception as error:  # a defect, or a disk that fails: told here, and the others are served on
            self._house.report(f"{head.method} {head.target}: {error}\n{traceback.format_exc()}")
            found = fault_answer(Fault("UNKNOWN", "the registry failed; its log says why"))
        rest = whole and body is not None and (body.ended or (not body.awaited and (body.length or REST + 1) <= REST))
        keep = rest and head.minor == 1 and "close" not in head.headers.get("connection", "").lower()
        sent = self._send(found, head, keep=keep)
        self._tell(head, user, found.status, sent, began)
        if keep and body is not None:
            return body.drain(REST)
        return False if body is not None and body.ended else self._linger()

    def _send(self, found: Answer, head: Head | None, *, keep: bool) -> int:
        """Send an answer; the bytes of its body that went. Raises OSError, Gone."""
        lines = [
            f"HTTP/1.1 {found.status} {phrase(found.status)}",
            f"Date: {formatdate(usegmt=True)}",
            "Docker-Distribution-API-Version: registry/2.0",
            "X-Content-Type-Options: nosniff",
            *(f"{name}: {value}" for name, value in found.headers),
        ]
        if found.status not in BARE:
            lines.append(f"Content-Length: {found.length}")
        if not keep:
            lines.append("Connection: close")
        start = "\r\n".join((*lines, "", "")).encode("latin-1")
        bodiless = found.status in BARE or (head is not None and head.method == "HEAD")
        self._sock.settimeout(PATIENCE)
        if found.file is None:
            self._sock.sendall(start if bodiless else start + found.body)
            return 0 if bodiless else len(found.body)
        with found.file as file:
            if bodiless or not found.count:
                self._sock.sendall(start)
                return 0
            if isinstance(self._sock, ssl.SSLSocket):
                self._sock.sendall(start)
                sent = 0
                file.seek(found.offset)
                while piece := file.read(min(PIECE, found.count - sent)):
                    self._sock.sendall(piece)
                    sent += len(piece)
            else:
                self._sock.sendall(start, socket.MSG_MORE)
                sent = self._sock.sendfile(file, found.offset, found.count)
        if sent < found.count:
            raise Gone  # the disk had less than it said: nothing that follows would be understood
        return sent

    def _linger(self) -> bool:
        """Let the client read what was said to it before it learns that nobody listens any more; False."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
            until = time.monotonic() + LINGER
            while (left := until - time.monotonic()) > 0:
                self._sock.settimeout(left)
                if not self._sock.recv(PIECE):
                    break
        return False

    def _tell(self, head: Head, user: str, status: int, sent: int, began: float) -> None:
        if self._house.log is not None:
            took = time.monotonic() - began
            moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            shown = user if user.isprintable() and " " not in user else "?"
            self._house.log(f'{moment} {self._peer} {shown} "{head.method} {head.target}" {status} {sent} {took:.3f}s')


def fault_answer(fault: Fault) -> Answer:
    """A fault as it is sent."""
    return Answer(fault.status, (("Content-Type", "application/json"), *fault.headers), fault.body())


def phrase(status: int) -> str:
    """The words beside a status."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"

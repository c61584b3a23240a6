"""Between a command behind walls and all who listen to it or speak to it: its log, our own streams, attached clients.

A client that does not read holds the command's output up rather than lose any of it, as a terminal would; a command
that does not read holds its clients up.
"""

from __future__ import annotations

import os

from builder.containers.line import DETACH, END_OF_INPUT, ENDED, INPUT, LARGEST, PIECE
from builder.containers.loop import READ, WRITE, Loop
from layers.quickjson import dumps
from runner.sockets import Socket

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable

    from builder.containers.terminal import Sink, Streams
    from runner.running import Running
else:
    from _collections import deque  # without its package

FULL = 1 << 20
"""Bytes that wait for one client until the command has to wait."""
INWARD = 1 << 18
"""Bytes that wait for the command until its clients have to."""


class Client:
    """Somebody attached: gets output if it wants, gives input if it may."""

    def __init__(self, line: Socket, *, output: bool, gives: bool, detached: Callable[[], None]) -> None:
        line.setblocking(False)
        self.line = line
        self.output = output
        self.gives = gives
        self.detached = detached
        self.waiting: deque[bytes] = deque()
        self.size = 0
        self.leaving = False
        self.interest = 0
        """What its socket is watched for."""

    def fileno(self) -> int:
        """Its socket."""
        return self.line.fileno()

    def flush(self) -> bool:
        """Send what waits, as far as it takes it; whether something is left. Raises OSError if it has gone."""
        try:
            while self.waiting:
                self.line.send(self.waiting[0])
                self.size -= len(self.waiting.popleft())
        except BlockingIOError:
            return True
        return False


class Switchboard:
    """Moves bytes on a loop. `plug` a command in, `unplug` it when it has ended."""

    def __init__(self, loop: Loop, sink: Sink, *, input_ends: bool) -> None:
        self.loop = loop
        self.sink = sink
        self.input_ends = input_ends
        self.clients: list[Client] = []
        self.out: dict[int, int] = {}
        self.streams: Streams | None = None
        self.master: int | None = None
        self.held = False
        """Whether the command waits for its clients."""
        self.pen = -1
        """Where input is written to."""
        self.inward = bytearray()
        self.ending = False

    def plug(self, running: Running, streams: Streams) -> None:
        """A command whose output goes to everyone and whose input comes from everyone."""
        self.streams, self.master = streams, running.master
        self.out = dict(streams.out)
        if self.master is not None:
            self.out[self.master] = 1
            self.pen = os.dup(self.master)  # a loop watches a descriptor for one thing
        elif streams.input is not None:
            self.pen = streams.input
            os.set_blocking(self.pen, False)
        for descriptor in self.out:
            os.set_blocking(descriptor, False)
            self._listen(descriptor)
        self._feed()

    @property
    def silent(self) -> bool:
        """Whether all output has come."""
        return not self.out

    def drain(self) -> None:
        """The command has ended: take what it left in its pipes, however slow our clients are."""
        for descriptor in list(self.out):
            taken = 0
            while taken < FULL and (size := self._said(descriptor)):
                taken += size

    def unplug(self) -> None:
        """The command has gone; what it was not given is lost."""
        self._lay_down()
        for descriptor in self.out:
            self.loop.forget(descriptor)
        self.out, self.streams, self.master = {}, None, None
        self.inward.clear()
        self.ending = self.held = False

    def join(self, line: Socket, *, output: bool, gives: bool, detached: Callable[[], None]) -> Client:
        """One more client, whose socket is ours from now on; `detached` is called when its keys have parted it."""
        client = Client(line, output=output, gives=gives, detached=detached)
        self.clients.append(client)
        self._watch(client)
        return client

    def tell_end(self, code: int) -> None:
        """Tell every client how it ended, and part from them."""
        for client in list(self.clients):
            client.leaving = True
            self._send(client, ENDED + dumps({"code": code}).encode())

    def hand_over(self) -> None:
        """Leave clients that have not read all yet to a process of their own."""
        if self.clients:
            from builder.containers.leftover import deliver

            deliver(self.clients)
            for client in list(self.clients):
                self.drop(client)

    def drop(self, client: Client) -> None:
        """Part from a client at once."""
        if client in self.clients:
            self.clients.remove(client)
            self.loop.forget(client.fileno())
            client.line.close()
            self._ease()

    # -- outwards --------------------------------------------------------------------------------

    def _listen(self, descriptor: int) -> None:
        self.loop.watch(descriptor, lambda: self._said(descriptor))

    def _said(self, descriptor: int) -> int:
        """Take a piece of output; how many bytes it had, none if there is nothing at the moment or any more."""
        try:
            data = os.read(descriptor, PIECE)
        except BlockingIOError:
            return 0
        except OSError:  # EIO: the last one has left the terminal
            data = b""
        if not data:
            self.loop.forget(descriptor)
            del self.out[descriptor]
            return 0
        stream = self.out[descriptor]
        self.sink(stream, data)
        for client in list(self.clients):
            if client.output:
                self._send(client, b"%d" % stream + data)
        if self._full() and not self.held:
            self.held = True
            for each in self.out:
                self.loop.forget(each)
        return len(data)

    def _full(self) -> bool:
        return any(client.size > FULL for client in self.clients)

    def _ease(self) -> None:
        """Listen to the command again, if clients have caught up."""
        if self.held and not self._full():
            self.held = False
            for descriptor in self.out:
                self._listen(descriptor)

    def _send(self, client: Client, packet: bytes) -> None:
        client.waiting.append(packet)
        client.size += len(packet)
        self._flush(client)

    def _flush(self, client: Client) -> None:
        try:
            left = client.flush()
        except OSError:
            self.drop(client)
            return
        if left:
            self._watch(client)
        elif client.leaving:
            self.drop(client)
        else:
            self._watch(client)
            self._ease()

    # -- inwards ---------------------------------------------------------------------------------

    def _watch(self, client: Client) -> None:
        listening = READ if len(self.inward) < INWARD else 0
        speaking = WRITE if client.waiting else 0
        if client.interest == listening | speaking:
            return
        client.interest = listening | speaking
        if not client.interest:
            self.loop.forget(client.fileno())
            return

        def ready() -> None:
            if client.waiting:
                self._flush(client)
            if listening and client in self.clients:
                self._heard(client)

        self.loop.watch(client.fileno(), ready, listening | speaking)

    def _heard(self, client: Client) -> None:
        try:
            packet = client.line.recv(LARGEST)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        kind, data = packet[:1], packet[1:]
        if kind == INPUT:
            self.inward += data if client.gives else b""
            self._feed()
            return
        if kind == DETACH:
            self.drop(client)
            client.detached()
            return
        if kind in (END_OF_INPUT, b"") and client.gives and self.input_ends:
            client.gives = False
            self.ending = True
            self._feed()
        if not packet:
            self.drop(client)

    def _feed(self) -> None:
        """Give the command what waits for it, as far as it takes it."""
        if self.pen < 0:
            if self.streams is not None:
                self.inward.clear()  # a command without an input takes everything, and does nothing with it
            return
        self.loop.forget(self.pen)
        held = len(self.inward) >= INWARD
        try:
            while self.inward:
                del self.inward[: os.write(self.pen, self.inward[:PIECE])]
        except BlockingIOError:
            self.loop.watch(self.pen, self._feed, WRITE)
        except OSError:  # it has closed its end
            self.inward.clear()
        if self.ending and not self.inward and self.master is None:
            self._lay_down()
        if held and len(self.inward) < INWARD:
            for client in self.clients:
                self._watch(client)

    def _lay_down(self) -> None:
        """No more input: the command is told, if it has a pipe."""
        if self.pen >= 0:
            self.loop.forget(self.pen)
            if self.master is not None:
                os.close(self.pen)
            elif self.streams is not None:
                self.streams.end_input()
            self.pen = -1

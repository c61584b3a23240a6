"""Whoever keeps a bridge for a while after its last container, and makes it ready for the next ones meanwhile.

It is what the last one has left behind (`runner.leaving`), so all that joining and leaving take is loaded: others ask
it (`builder.networks.asked`), and need not load it. It does nothing that they could not do, and holds nothing of
theirs: the lease is handed over with its lock. It may end, or be killed, at any moment: they do without.
"""

from __future__ import annotations

import gc
import marshal
import os
import select
import time
from contextlib import suppress
from pathlib import Path

from builder.networks import leases
from builder.networks.asked import LARGEST, LEAVE, LINE, NAMES, WIRE, here
from builder.networks.joining import Joining, leave
from builder.networks.wish import Member, Wish
from layers.disk import locks
from runner.job import WIRED
from runner.net import bridge
from runner.sockets import Socket

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from typing import Any

    from builder.networks.book import Networks
    from builder.networks.network import Network

LINGER = 3.0
"""Seconds that a bridge stays after its last container, and that it is kept after the last who asked for something."""
LIFE = 60.0
"""Seconds after which another one shall do it: this one has the priority and the limits of whoever left it behind."""
GONE = select.POLLHUP | select.POLLERR


class Keeper:
    """The loop. `held` is the open file of its own lease."""

    def __init__(self, book: Networks, network: Network, path: Path, held: int) -> None:
        self.book = book
        self.network = network
        self.path = path
        self.held = held
        self.line = Socket.listening(book.place(network), LINE)
        self.poll = select.poll()
        self.poll.register(self.line, select.POLLIN)
        self.guests: dict[int, Guest] = {}
        self.until = 0.0
        self.wait()

    def wait(self) -> None:
        """Stay for a while from now on."""
        self.until = time.monotonic() + LINGER

    def stands(self) -> bool:
        """Whether it is still for us to keep; if not, we end."""
        if not locks.stands(self.held, self.path):
            self.until = 0.0
        return bool(self.until)

    def stay(self) -> None:
        """Serve until nobody has come for a while; then the bridge goes, unless somebody is on it."""
        gc.freeze()  # what others have left open is not ours to close
        latest = time.monotonic() + LIFE
        while (left := min(self.until, latest) - time.monotonic()) > 0:
            for descriptor, event in self.poll.poll(left * 1000):
                if descriptor in self.guests:
                    self._hear(self.guests[descriptor], event)
                else:
                    self._welcome()
        self.line.close()
        for guest in self.guests.values():  # who looks for its image for so long does without us
            with suppress(Exception):
                guest.close()
        with leases.alone():
            if locks.stands(self.held, self.path):
                leases.sweep_one(self.book, self.network)
                leases.release(self.book, self.network, self.path)
            elif not self.book.store.root.exists():  # whoever removed it could not know
                bridge.take_down(self.network.bridge())
            elif not self.path.exists():  # it went before we listened, perhaps
                (self.book.place(self.network) / LINE).unlink(missing_ok=True)

    def _welcome(self) -> None:
        with suppress(BlockingIOError):
            guest = Guest(self, self.line.accept())
            self.guests[guest.line.fileno()] = guest
            self.poll.register(guest.line, select.POLLIN)

    def _hear(self, guest: Guest, event: int) -> None:
        going = False
        with suppress(Exception):  # it does the work itself, and says what is wrong
            going = not event & GONE and guest.hear()
        if not going:
            self.poll.unregister(guest.line)
            del self.guests[guest.line.fileno()]
            with suppress(Exception):
                guest.close()


class Guest:
    """Somebody who asks, and what is being made ready for it."""

    def __init__(self, keeper: Keeper, line: Socket) -> None:
        self.keeper = keeper
        self.line = line
        self.seat: Seat | None = None
        self.end = ""
        """Its interface, once that was handed over."""
        self.waits: Socket | None = None
        """Who goes on when all is there."""

    def hear(self) -> bool:
        """Do what it asks for next; whether it may ask for more."""
        message, given = self.line.receive_with(LARGEST, 2)
        try:
            self.keeper.wait()
            if message == WIRE and given and self.seat is not None:
                self._wire(self.seat, *given)
            elif message == NAMES and self.seat is not None and self.seat.made:
                self._name(self.seat)
            elif message == LEAVE and self.seat is not None and self.end:
                self._leave(self.seat)
            elif message and self.seat is None:
                return self._join(*marshal.loads(message))
            else:
                return False
            return True
        finally:
            for one in given:
                os.close(one)

    def _join(self, where: tuple[str, int, int], words: dict[str, Any]) -> bool:
        if where != here() or not self.keeper.stands():
            return False
        wishes = tuple(Wish(**wish) for wish in words["wishes"])
        member = Member(**words | {"wishes": wishes, "hosts": Path(words["hosts"])})
        self.seat = Seat(self.keeper.book, member)
        return [one.id for one in self.seat.networks] == [self.keeper.network.id]

    def _wire(self, seat: Seat, netns: int, word: int = -1) -> None:
        seat.ready()
        with leases.alone():
            self._there()
            seat.plug(netns)
        if word >= 0:
            self.waits = Socket.new(os.dup(word))

    def _name(self, seat: Seat) -> None:
        """All is ready: hand it over."""
        with leases.alone():
            self._there()
            seat.name()
            ((_, lease, held),) = seat.made
            self.line.send_with(marshal.dumps((lease.outer, seat.told)), [held])
        self.end = lease.outer
        seat.forget()
        if self.waits is not None:
            with self.waits as waits, suppress(OSError):  # it has gone, or whoever asked says so
                waits.send(WIRED)

    def _leave(self, seat: Seat) -> None:
        with leases.alone():
            self._there()
            leave(seat.book, frozenset({self.end}), seat.member.container)
        self.line.send(LEAVE)

    def _there(self) -> None:
        """Raise ConnectionError if it waits no more: then it does the work itself, as soon as it is alone."""
        look = select.poll()
        look.register(self.line, 0)
        if look.poll(0):
            raise ConnectionError

    def close(self) -> None:
        """It has gone; what it has, it keeps."""
        self.line.close()
        if self.waits is not None:
            self.waits.close()
        if self.seat is not None:
            self.seat.close()


class Seat(Joining):
    """A Joining that is made ready at once."""

    def __init__(self, book: Networks, member: Member) -> None:
        self.told: list[str] = []
        super().__init__(book.store, member, self.told.append)

    def _begin(self) -> None:
        self._prepare()

    def ready(self) -> None:
        """Raise what has gone wrong."""
        self._ready()

    def forget(self) -> None:
        """Its lease is somebody else's now."""
        while self.made:
            os.close(self.made.pop()[2])

    def close(self) -> None:
        """Give back what was not handed over; nothing else of the same container, which may have done without us."""
        if self.made:
            with leases.alone():
                leave(self.book, frozenset(lease.outer for _, lease, _ in self.made), "")
        self.forget()

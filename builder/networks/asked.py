"""Networks of a container that are made ready by whoever keeps the bridge (`builder.networks.keeper`).

That process has everything loaded that this takes, and does it on another processor while we get on with the
container. The two speak in packets (SOCK_SEQPACKET) of `marshal`, for they are the same program of the same user: a
request, for an address; WIRE, with a network namespace and who waits for it; NAMES, when /etc/hosts is there, which
is answered with the lease; and LEAVE, which is answered. Who gets no answer does the work itself, as if nobody were
there (`builder.networks.joining`).
"""

from __future__ import annotations

import marshal
import os
from contextlib import suppress
from functools import partial

from layers.quick import asdict
from layers.quickjson import loads
from runner.files import text
from runner.sockets import Socket

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.networks.joining import Joining
    from builder.networks.wish import Member
    from layers import Store

LINE = "line"
"""The socket, in a network's folder."""
LARGEST = 1 << 16
"""Bytes of a packet at most."""
PATIENCE = 2.0
"""Seconds that we wait for an answer at most."""
WIRE, NAMES, LEAVE = b"wire", b"names", b"leave"
PROGRAM = (__file__, os.stat(os.path.dirname(__file__)).st_mtime_ns)


def here() -> tuple[str, int, int]:
    """Who works for us must be the same program, and in the same network namespace."""
    return *PROGRAM, os.stat("/proc/thread-self/ns/net").st_ino


class Asked:
    """In place of a Joining."""

    def __init__(self, line: Socket, store: Store, member: Member, warn: Callable[[str], None]) -> None:
        self.line = line
        self.store = store
        self.member = member
        self.warn = warn
        self.end = ""
        """Our end of the pair, once there is one."""
        self.held: list[int] = []
        """What keeps the lease while we live."""
        self.instead: Joining | None = None
        self._pid = 0
        self._leaving = False
        with suppress(OSError):  # then there will be no answer
            line.send(marshal.dumps((here(), asdict(member) | {"hosts": str(member.hosts)})))

    @classmethod
    def of(cls, store: Store, member: Member, warn: Callable[[str], None]) -> Asked | None:
        """Begin, if somebody keeps the only bridge that is wanted; who publishes ports needs more than that."""
        if member.published or len(member.wishes) != 1 or not member.container:
            return None
        with suppress(OSError, ValueError):
            for place in os.scandir(store.root / "networks"):
                if os.path.exists(f"{place.path}/{LINE}") and _is(place.path, member.wishes[0].network):
                    line = Socket.calling(place.path, LINE, PATIENCE)
                    return None if line is None else cls(line, store, member, warn)
        return None

    def serves(self, member: Member) -> bool:
        """Whether it is this one for whom all is being made ready."""
        return self.member == member

    def change(self, member: Member) -> None:
        """It is for another one after all, and may be wired by now: that is taken back, and everything done here."""
        self.line.close()
        self.member = member

    @property
    def has_met(self) -> bool:
        """Whether its process is being wired."""
        return bool(self._pid)

    def meet(self, pid: int, word: int = -1) -> None:
        """Have the process, if there is one, given its interface; and be told on a socket when it has its names."""
        if pid and not self._pid:
            self._pid = pid
            with suppress(OSError):
                netns = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
                try:
                    self.line.send_with(WIRE, [netns, word] if word >= 0 else [netns])
                finally:
                    os.close(netns)

    def wire(self, pid: int) -> Callable[[], None]:
        """Have it given its names, too, now that /etc/hosts is there; what this gives returns when all is done."""
        self.meet(pid)
        with suppress(OSError):
            if pid == self._pid:
                self.line.send(NAMES)
        return partial(self._wired, pid)

    def _wired(self, pid: int) -> None:
        """Raises what a Joining does."""
        answer = b""
        with suppress(OSError):
            if pid == self._pid:
                answer, self.held = self.line.receive_with(LARGEST, 1)
        if answer:
            self.end, told = marshal.loads(answer)
            for sentence in told:
                self.warn(sentence)
            return
        from builder.networks import leases
        from builder.networks.joining import Joining
        from runner.net import bridge

        self.line.close()  # who is only slow sees that, and does no more
        with leases.alone():
            bridge.bare(pid)
        self.instead = Joining(self.store, self.member, self.warn)
        self.instead.wire(pid)

    def leave(self) -> None:
        """Begin to leave, for its processes have gone."""
        if self.end and not self._leaving:
            self._leaving = True
            with suppress(OSError):
                self.line.send(LEAVE)

    def close(self) -> None:
        """Have left."""
        self.leave()
        answer = b""
        with suppress(OSError):
            if self.end:
                answer = self.line.recv(LARGEST)
        self.line.close()
        if self.instead is not None:
            self.instead.close()
        elif self.end and not answer:
            from builder.networks import leases
            from builder.networks.book import Networks
            from builder.networks.joining import leave

            with leases.alone():
                leave(Networks(self.store), frozenset({self.end}), self.member.container)
        for one in self.held:
            os.close(one)
        self.end, self.held, self.instead = "", [], None


def _is(place: str, wanted: str) -> bool:
    """Whether a network's folder is that of this name or id."""
    network = loads(text(f"{place}/config.json"))
    return wanted in (network["name"], network["id"])

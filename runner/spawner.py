"""Our end of the spawner, the small process that makes the steps: what it is told, and what it answers.

Nobody waits until it is ready: the first job waits in the socket.
"""

import marshal
import os
from _thread import LockType, allocate_lock
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from layers.quick import dataclass, field
from runner.errors import SandboxBroken, SpawnerLost
from runner.job import GROUPS, HUSH, LITTER, MAP, REFUSED, WIRED, Job, Seed
from runner.launch import Launched, launch
from runner.sockets import Socket

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from runner.sandbox import Wire

_LARGEST = 4096  # bytes of a message


@dataclass
class Birth:
    """A process that has become its command. The receiver owns the descriptors; `ended` tells its end, once."""

    pid: int
    pidfd: int
    reply: Socket
    master: int | None
    refused: str = ""
    """Why there was nothing to execute; then it ends at once, with 126 or 127."""

    def ended(self) -> tuple[int, bool, tuple[int, int] | None]:
        """Wait for the end: (exit code or signal number, whether it was a signal, bytes read and written)."""
        answer = self.reply.recv(_LARGEST)
        if not answer:
            return 9, True, None  # the spawner was killed, and its children with it
        _, code, signalled, moved = marshal.loads(answer)
        return code, signalled, moved


@dataclass
class Sown:
    """A process that is being made, or waits already. Exactly one of `grow`, `take` and `drop` ends it."""

    _reply: Socket
    _status: Socket
    _pid: int = 0
    """0 until it has told of its birth."""
    _pidfd: int = -1

    def met(self) -> tuple[int, int]:
        """Its number, if its namespaces are there by now, else 0; and where to say WIRED, for who wires it."""
        return self._born(wait=False), self._status.fileno()

    def grow(
        self,
        job: Job,
        descriptors: Sequence[int],
        wire: "Wire | None" = None,
        meanwhile: Callable[[], None] | None = None,
    ) -> Birth:
        """Let it become its command; returns when it has. Raises SandboxBroken with the step that failed.

        `descriptors` follow `runner.job` from STDIN on; they stay the caller's. `wire` is called with its number when
        its namespaces are there, and what that gives while it is becoming that, which it is not before all is there;
        what these raise ends it. `meanwhile` is called when it was told.
        """
        with ExitStack() as undo, self._status as status:
            undo.callback(self._forget)
            finish = None
            if wire is not None and (pid := self._born(wait=True)):
                finish = wire(pid)
            if finish is not None and job.sysctls:  # some are of interfaces
                finish()
                finish = None
            job.until_wired = finish is not None
            order = _in_memory(job.dump())
            try:
                with suppress(BrokenPipeError, ConnectionResetError):  # it could not be made: it has said why
                    status.send_with(b"job", [order, *descriptors])
            finally:
                os.close(order)
            if meanwhile is not None:
                meanwhile()
            if finish is not None:
                finish()
                with suppress(BrokenPipeError, ConnectionResetError):
                    status.send(WIRED)  # once more, perhaps: whoever has done it may have said so
            pid = self._born(wait=True)
            master, refused = None, ""
            while told := _told(status):
                answer, more = told
                if answer == b"tty":
                    master = more[0]
                    undo.callback(os.close, master)
                    continue
                if answer:
                    step, number, detail = marshal.loads(answer)
                    if step == REFUSED:
                        refused = os.fsdecode(detail)
                        break
                    raise SandboxBroken(step, number, os.fsdecode(detail))
                break
            if not pid:
                raise SpawnerLost
            undo.pop_all()
            return Birth(pid, self._pidfd, self._reply, master, refused)

    def take(self) -> tuple[Socket, Socket]:
        """The sockets of its births and of its own words, for a conversation of another kind; the caller owns them."""
        return self._reply, self._status

    def namespace(self) -> int:
        """Of MAP: the namespace that was made, as a descriptor. Raises SandboxUnavailable, SandboxBroken."""
        with self._status as status, self._reply as reply:
            _, given = reply.receive_with(_LARGEST, 1)
            if given:
                return given[0]
            if told := _told(status)[0]:
                step, number, _ = marshal.loads(told)
                raise SandboxBroken(f"user namespace, {os.fsdecode(step)}", number)
            raise SpawnerLost

    def _born(self, *, wait: bool) -> int:
        """Its number, which the spawner tells when it is there; 0 if it could not be made, or is not yet."""
        with suppress(BlockingIOError):
            if not self._pid:
                born, given = self._reply.receive_with(_LARGEST, 1, wait=wait)
                if born and given:  # else it was killed before it was born
                    self._pid, self._pidfd = marshal.loads(born)[1], given[0]
        return self._pid

    def _forget(self) -> None:
        self._reply.close()
        if self._pidfd >= 0:
            os.close(self._pidfd)

    def drop(self) -> None:
        """It is not needed; returns when it has gone."""
        self._status.close()
        if self._pidfd >= 0:
            os.close(self._pidfd)
        with self._reply as reply:
            while True:
                answer, given = reply.receive_with(_LARGEST, 1)
                for one in given:
                    os.close(one)
                if not answer or marshal.loads(answer)[0] == "ended":
                    return


def _told(status: Socket) -> tuple[bytes, list[int]]:
    """The next word of a child; empty when it has become its command, or has gone."""
    try:
        return status.receive_with(_LARGEST, 1)
    except ConnectionResetError:  # it went without having read all; what it has said is there
        return status.receive_with(_LARGEST, 1)


@dataclass
class Spawner:
    """Starts its process when first needed, again if it was lost, and ends it on `close`. Threads may share it.

    `module` is whose `serve` the process runs; `launched` one that runs it already.
    """

    module: str = "runner.zygote"
    launched: Launched | None = None
    _lost: int = -1
    """The executable of a process that was lost, for the next."""
    _lock: LockType = field(default_factory=allocate_lock)

    @property
    def pid(self) -> int:
        """Its process; 0 while there is none."""
        return 0 if self.launched is None else self.launched.pid

    def warm(self) -> None:
        """Start the process now, so that it is ready when the first job comes."""
        with self._lock:
            self._connect()

    def close(self) -> None:
        """End the process and everything it has started."""
        with self._lock:
            self._lose()
            if self._lost >= 0:
                os.close(self._lost)
                self._lost = -1

    def hush(self) -> None:
        """Let it say nothing any more: its stderr is its maker's, which others may wait to see closed."""
        with self._lock:
            if self.launched is not None:
                self.launched.channel.send(HUSH)

    def bequeath(self, folder: Path, name: str, kept: Sequence[int]) -> bool:
        """Have a directory in `folder` removed, mostly after we have ended; False if there is nobody who would.

        Descriptors are `kept` open until it is gone. Nothing is told of what cannot be removed.
        """
        place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return self._leave(LITTER + os.fsencode(name), [place, *kept])
        finally:
            os.close(place)

    def clear(self, groups: Sequence[Path], kept: Sequence[int]) -> bool:
        """Have control groups removed in which nobody is any more, their locks `kept`; else as `bequeath`."""
        words = b"".join((GROUPS, *(b"\0" + os.fsencode(path) for path in groups)))
        return bool(kept) and len(words) <= _LARGEST and self._leave(words, kept)

    def _leave(self, words: bytes, kept: Sequence[int]) -> bool:
        """Leave work to the process, and with it what it was executed from; False if there is none."""
        try:
            with self._lock:
                if self.launched is None:
                    return False
                self.launched.channel.send_with(words, [*kept, self.launched.program])
        except OSError:  # it was killed
            return False
        return True

    def sow(self, seed: Seed, descriptors: Sequence[int]) -> Sown:
        """Have a process made that will wait for its job; does not wait for it.

        `descriptors` follow `runner.job` from FIRST_JOIN on; they stay the caller's. Raises SandboxUnavailable.
        """
        with ExitStack() as undo:
            reply, far_reply = Socket.pair()
            undo.callback(reply.close)
            status, far_status = Socket.pair()
            undo.callback(status.close)
            with far_reply, far_status:
                self._send(seed.dump(), [far_reply.fileno(), far_status.fileno(), *descriptors])
            undo.pop_all()
            return Sown(reply, status)

    def map(self, uid_map: bytes, gid_map: bytes) -> Sown:
        """Have a user namespace made with these maps; does not wait for it. Raises SandboxUnavailable."""
        return self.sow(Seed(kind=MAP, uid_map=uid_map, gid_map=gid_map), [])

    def _send(self, message: bytes, descriptors: list[int]) -> None:
        with self._lock:
            try:
                self._connect().send_with(message, descriptors)
            except (BrokenPipeError, ConnectionResetError):
                self._lose()
                self._connect().send_with(message, descriptors)

    def _connect(self) -> Socket:
        if self.launched is None:
            self.launched = launch(self.module, self._lost)
        return self.launched.channel

    def _lose(self) -> None:
        """Let the process end, or see that it has."""
        if self.launched is not None:
            gone, self.launched = self.launched, None
            self._lost = gone.program
            gone.channel.close()
            with suppress(ChildProcessError):
                os.waitpid(gone.pid, 0)


def _in_memory(text: bytes) -> int:
    descriptor = os.memfd_create("job")
    os.write(descriptor, text)
    return descriptor
